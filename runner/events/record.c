#include "events/record.h"

#include <string.h>

#include "base/alloc.h"
#include "events/payload.h"

#define SAMPLES_MAX 7200 /* two hours; of a longer run the timeline shows the beginning */

void run_record_done(struct run_record *r)
{
    for (size_t i = 0; i < r->file_count; i++)
        file_result_free(r->files[i]);
    for (size_t i = 0; i < r->vm_count; i++) {
        free(r->vms[i].name);
        free(r->vms[i].file);
        free(r->vms[i].profile);
    }
    for (size_t i = 0; i < r->span_count; i++) {
        free(r->spans[i].file);
        free(r->spans[i].what);
        free(r->spans[i].other);
    }
    free(r->files);
    free(r->spans);
    free(r->vms);
    free(r->pool);
    free(r->shard);
    free(r->input_hash);
    *r = (struct run_record){0};
}

/* Room for one more item in an array that grows by doubling. */
static void *grow(void *items, size_t count, size_t size)
{
    bool full = !(count & (count - 1));
    return full ? xreallocarray(items, count ? 2 * count : 1, size) : items;
}

void run_record_add(struct run_record *r, struct file_result *file)
{
    r->files = grow(r->files, r->file_count, sizeof(*r->files));
    r->files[r->file_count++] = file;
}

static void take_spawned(struct run_record *r, const struct event *ev)
{
    struct vm_span vm = {.spawned = ev->ts};
    int64_t boot = 0;
    vm.name = payload_string(ev->payload, "vm_name");
    vm.file = payload_string(ev->payload, "file");
    vm.profile = payload_string(ev->payload, "profile");
    payload_int(ev->payload, "cid", &vm.cid);
    payload_int(ev->payload, "memory_bytes", &vm.memory_bytes);
    payload_int(ev->payload, "boot_ns", &boot);
    vm.spawned -= boot;
    r->vms = grow(r->vms, r->vm_count, sizeof(*r->vms));
    r->vms[r->vm_count++] = vm;
}

static void take_shutdown(struct run_record *r, const struct event *ev)
{
    int64_t cid = 0;
    payload_int(ev->payload, "cid", &cid);
    for (size_t i = r->vm_count; i-- > 0;) {
        if (r->vms[i].cid == cid && !r->vms[i].ended) {
            r->vms[i].ended = ev->ts;
            return;
        }
    }
}

/* The newest of that kind that still goes on, of that file or, with "", of any. */
static void end_span(struct run_record *r, enum run_span_kind kind, struct bytes file, int64_t ts)
{
    for (size_t i = r->span_count; i-- > 0;) {
        struct run_span *span = &r->spans[i];
        if (span->kind == kind && !span->ended && (!file.len || bytes_is(file, span->file))) {
            span->ended = ts;
            return;
        }
    }
}

static void begin_span(struct run_record *r, enum run_span_kind kind, const struct event *ev, const char *file,
                       const char *what)
{
    r->spans = grow(r->spans, r->span_count, sizeof(*r->spans));
    r->spans[r->span_count++] = (struct run_span){.kind = kind,
                                                  .file = payload_string(ev->payload, file),
                                                  .what = payload_string(ev->payload, what),
                                                  .other = payload_string(ev->payload, "held_by_file"),
                                                  .started = ev->ts};
}

static void take_spans(struct run_record *r, const struct event *ev)
{
    struct bytes file = {0}, reason = {0};
    bool builds = event_is(ev, "fixture_build_started"), waits = event_is(ev, "fixture_build_waiting");
    payload_bytes(ev->payload, builds || waits || event_is(ev, "fixture_cache_hit") ? "file" : "path", &file);
    if (event_is(ev, "file_blocked")) {
        payload_bytes(ev->payload, "reason", &reason);
        if (bytes_is(reason, "build_lock"))
            return; /* fixture_build_waiting tells more */
        end_span(r, SPAN_BLOCKED, (struct bytes){0}, ev->ts);
        begin_span(r, SPAN_BLOCKED, ev, "path", "reason");
    } else if (event_is(ev, "file_dispatched")) {
        end_span(r, SPAN_BLOCKED, file, ev->ts);
    } else if (builds || waits || event_is(ev, "fixture_cache_hit") || event_is(ev, "file_completed")) {
        end_span(r, SPAN_WAIT, file, ev->ts);
        if (builds || waits)
            begin_span(r, builds ? SPAN_BUILD : SPAN_WAIT, ev, "file", "path");
    } else if (event_is(ev, "fixture_build_done")) {
        payload_bytes(ev->payload, "file", &file);
        end_span(r, SPAN_BUILD, file, ev->ts);
    }
}

static void take_pool(struct run_record *r, const struct event *ev)
{
    struct pool_sample s = {.ts = ev->ts};
    struct bytes used = {0}, available = {0};
    if (r->pool_count == SAMPLES_MAX)
        return;
    payload_value(ev->payload, "used", &used);
    payload_value(ev->payload, "available", &available);
    payload_int(used, "memory_bytes", &s.memory_used);
    payload_int(available, "memory_bytes", &s.memory_available);
    payload_int(ev->payload, "in_flight", &s.in_flight);
    payload_int(ev->payload, "queued", &s.queued);
    payload_int(ev->payload, "vms", &s.vms);
    payload_double(ev->payload, "psi_pct", &s.psi);
    r->pool = grow(r->pool, r->pool_count, sizeof(*r->pool));
    r->pool[r->pool_count++] = s;
}

void run_record_take(struct run_record *r, const struct event *ev)
{
    if (event_is(ev, "vm_spawned"))
        take_spawned(r, ev);
    else if (event_is(ev, "vm_shutdown"))
        take_shutdown(r, ev);
    else if (event_is(ev, "pool_state"))
        take_pool(r, ev);
    else
        take_spans(r, ev);
}
