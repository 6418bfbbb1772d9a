/* Each event of a file goes to the stream and into the file's result, so that reports of this run and of a stored
 * stream agree. A file's timestamps never decrease, whatever the clock does. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "pool/dispatch.h"

static void emit(struct job *job, int64_t ts, struct bytes kind, const struct payload *payload)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
    payload_write(payload, &packed);
    struct event ev = {.ts = ts, .kind = kind, .payload = bytes_of(buf_head(&packed), packed.len)};
    if (ev.ts < job->last_ts)
        ev.ts = job->last_ts;
    job->last_ts = ev.ts;
    file_result_take(job->result, &ev);
    event_stream_put(job->d->settings->stream, ev.ts, ev.kind, ev.payload);
}

static void emit_now(struct job *job, const char *kind, const struct payload *payload)
{
    emit(job, clock_realtime_ns(), bytes_str(kind), payload);
}

static void add_blocked(struct payload *p, const struct dispatch_file *file, struct amount wanted, const char *why)
{
    payload_add_text(p, "path", file->label);
    payload_add_amount(p, "waiting_for", wanted.memory_bytes, wanted.cpus);
    payload_add_text(p, "reason", why);
}

void announce_build_lock(struct job *job)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    add_blocked(&p, job->work->file, (struct amount){0}, "build_lock");
    emit_now(job, "file_blocked", &p);
}

void announce_blocked(struct dispatcher *d, const struct dispatch_file *file, struct amount wanted, const char *why)
{
    if (d->blocked == file && !strcmp(d->blocked_why, why))
        return;
    d->blocked = file;
    d->blocked_why = why;
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    add_blocked(&p, file, wanted, why);
    event_stream_emit(d->settings->stream, 0, "file_blocked", &p);
}

void announce_dispatched(struct job *job)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "path", job->work->file->label);
    payload_add_amount(&p, "reservation", job->held.memory_bytes, job->held.cpus);
    payload_add_uint(&p, "attempt", job->work->attempt);
    payload_add_uint(&p, "worker", job->worker);
    payload_add_int(&p, "pid", job->pid);
    emit_now(job, "file_dispatched", &p);
}

void announce_claim(struct job *job, const char *kind)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "path", job->work->file->label);
    payload_add_amount(&p, "amount", job->claimed.memory_bytes, job->claimed.cpus);
    emit_now(job, kind, &p);
}

/* ------------------------------------------------------------------------------------------------- VMs */

#define EXCERPT 4096 /* per VM */

static void drop_vm(struct live_vm *vm)
{
    close_fd(&vm->console_fd);
    free(vm->name);
    free(vm);
}

static void note_vm(struct job *job, const struct event *ev)
{
    int64_t cid = 0, boot = 0;
    payload_int(ev->payload, "cid", &cid);
    payload_int(ev->payload, "boot_ns", &boot);
    if (event_is(ev, "vm_spawned")) {
        struct live_vm *vm = xnew0(struct live_vm);
        *vm = (struct live_vm){
            .next = job->vms, .cid = cid, .spawned = ev->ts - boot, .name = payload_string(ev->payload, "vm_name"),
            .console_fd = steal_fd(&job->console_fd)};
        job->vms = vm;
        return;
    }
    for (struct live_vm **at = &job->vms; *at; at = &(*at)->next) {
        struct live_vm *vm = *at;
        if (vm->cid != cid)
            continue;
        *at = vm->next;
        drop_vm(vm);
        return;
    }
}

/* The VMs that the worker has left. */
static void end_vms(struct job *job)
{
    while (job->vms) {
        struct live_vm *vm = job->vms;
        job->vms = vm->next;
        _cleanup_payload_ struct payload p = PAYLOAD_INIT;
        payload_add_text(&p, "file", job->work->file->label);
        payload_add_text(&p, "vm_name", vm->name);
        payload_add_int(&p, "cid", vm->cid);
        payload_add_int(&p, "duration_ns", clock_realtime_ns() - vm->spawned);
        payload_add_text(&p, "reason", "killed");
        emit_now(job, "vm_shutdown", &p);
        drop_vm(vm);
    }
}

/* The ends of the consoles, each headed by its VM's name, as the worker would have told; the oldest VM first. */
static void add_consoles(const struct live_vm *vm, struct buf *out)
{
    char text[EXCERPT];
    struct stat st;
    if (!vm)
        return;
    add_consoles(vm->next, out);
    off_t from = vm->console_fd >= 0 && fstat(vm->console_fd, &st) == 0 && st.st_size > EXCERPT ? st.st_size - EXCERPT : 0;
    ssize_t got = vm->console_fd >= 0 ? pread(vm->console_fd, text, sizeof(text), from) : 0;
    if (got <= 0)
        return;
    buf_printf(out, "%s--- vm \"%s\"\n", out->len ? "\n" : "", vm->name);
    buf_append(out, text, (size_t)got);
}

/* ------------------------------------------------------------------------------------------------- builds */

static void drop_build(struct job *job)
{
    struct live_build *build = job->builds;
    job->builds = build->next;
    free(build->fixture);
    free(build->key);
    free(build);
}

/* A build that another one needs is inside of it. */
static void note_build(struct job *job, const struct event *ev)
{
    if (event_is(ev, "fixture_build_started")) {
        struct live_build *build = xnew0(struct live_build);
        *build = (struct live_build){
            job->builds, ev->ts, payload_string(ev->payload, "path"), payload_string(ev->payload, "key")};
        job->builds = build;
    } else if (event_is(ev, "fixture_build_done") && job->builds) {
        drop_build(job);
    }
}

/* Those that the worker has not finished. */
static void end_builds(struct job *job)
{
    while (job->builds) {
        _cleanup_payload_ struct payload p = PAYLOAD_INIT;
        payload_add_text(&p, "file", job->work->file->label);
        payload_add_text(&p, "path", job->builds->fixture);
        payload_add_int(&p, "duration_ns", clock_realtime_ns() - job->builds->started);
        payload_add_uint(&p, "snapshot_bytes", 0);
        payload_add_text(&p, "key", job->builds->key);
        payload_add_text(&p, "error", "the process of the file ended");
        emit_now(job, "fixture_build_done", &p);
        drop_build(job);
    }
}

/* ------------------------------------------------------------------------------------------------- tests */

/* Why this test failed in an earlier attempt, or NULL. */
static const char *earlier_failure(const struct job *job, const struct event *ev)
{
    const struct work *work = job->work;
    _cleanup_free_ char *name = payload_string(ev->payload, "name");
    for (size_t i = 0; i < work->failed.count; i++)
        if (!strcmp(work->failed.items[i], name))
            return work->reasons.items[i];
    return NULL;
}

void announce_forward(struct job *job, const struct event *ev)
{
    static const char test_prefix[] = "test_";
    bool is_test = ev->kind.len > strlen(test_prefix) && !memcmp(ev->kind.data, test_prefix, strlen(test_prefix));
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, is_test ? "path" : "file", job->work->file->label);
    if (is_test)
        payload_add_uint(&p, "attempt", job->work->attempt);
    if (event_is(ev, "test_passed")) {
        const char *earlier = earlier_failure(job, ev);
        payload_add_bool(&p, "flaky", earlier);
        payload_add_text(&p, "earlier", earlier);
    }
    if (event_is(ev, "test_failed"))
        payload_add_bool(&p, "will_retry", job_may_retry(job));
    if (!payload_add_all(&p, ev->payload) || p.full)
        return;
    emit(job, ev->ts, ev->kind, &p);
    if (event_is(ev, "vm_spawned") || event_is(ev, "vm_shutdown"))
        note_vm(job, ev);
    note_build(job, ev);
}

static void add_test(struct payload *p, const struct job *job, const char *name)
{
    static const uint8_t nil = 0xc0;
    const struct planned_test *plan = file_result_planned(job->result, name);
    payload_add_text(p, "path", job->work->file->label);
    payload_add_text(p, "name", name);
    payload_add_uint(p, "attempt", job->work->attempt);
    payload_add_text(p, "file", plan ? plan->file : NULL);
    payload_add_int(p, "line", plan ? plan->line : 0);
    payload_add_packed(p, "meta",
                       plan && plan->meta.len ? bytes_of(buf_head(&plan->meta), plan->meta.len) : bytes_of(&nil, 1));
}

static void fail_test(struct job *job, const char *name, const char *reason, bool begun)
{
    _cleanup_buf_ struct buf consoles = BUF_INIT(EVENT_FRAME_MAX / 2);
    if (begun)
        add_consoles(job->vms, &consoles);
    _cleanup_free_ char *excerpt = buf_steal_str(&consoles);
    if (!begun) {
        _cleanup_payload_ struct payload p = PAYLOAD_INIT;
        add_test(&p, job, name);
        emit_now(job, "test_started", &p);
    }
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    add_test(&p, job, name);
    payload_add_int(&p, "duration_ns", begun ? clock_realtime_ns() - job->result->running_since : 0);
    payload_add_text(&p, "reason", reason);
    payload_add_text(&p, "console_excerpt", excerpt);
    payload_add_text(&p, "traceback", "");
    payload_add_strings(&p, "log", &STRV_INIT);
    payload_add_bool(&p, "will_retry", job_may_retry(job));
    emit_now(job, "test_failed", &p);
}

void announce_lost(struct job *job, const char *reason, const char *later)
{
    struct file_result *r = job->result;
    if (r->running) {
        _cleanup_free_ char *name = xstrdup(r->running);
        fail_test(job, name, reason, true);
    }
    for (size_t i = 0; i < r->planned_count; i++)
        if (!file_result_has_ended(r, r->planned[i].name))
            fail_test(job, r->planned[i].name, later, false);
}

/* ------------------------------------------------------------------------------------------------- ends */

static void add_result(struct payload *p, const struct work *work, const struct file_result *r)
{
    payload_add_text(p, "path", work->file->label);
    payload_add_text(p, "status", file_status_name(r->status));
    payload_add_int(p, "duration_ns", r->duration_ns);
    payload_add_uint(p, "attempt", work->attempt);
    payload_add_int(p, "waited_ns", r->waited_ns);
    payload_add_uint(p, "passed", r->passed);
    payload_add_uint(p, "failed", r->failed);
    payload_add_uint(p, "skipped", r->skipped);
    payload_add_text(p, "detail", r->chunk_error ? r->chunk_error : r->detail);
}

void announce_completed(struct job *job)
{
    end_vms(job);
    end_builds(job);
    if (job->has_claim)
        announce_claim(job, "claim_released");
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    add_result(&p, job->work, job->result);
    emit_now(job, "file_completed", &p);
}

void announce_unstarted(struct dispatcher *d, const struct work *work, struct file_result *r)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    add_result(&p, work, r);
    event_stream_emit(d->settings->stream, 0, "file_completed", &p);
}

void announce_pool(struct dispatcher *d)
{
    size_t vms = 0, queued = d->settings->file_count - d->begun_count;
    for (const struct job *j = d->jobs; j; j = j->next)
        for (const struct live_vm *vm = j->vms; vm; vm = vm->next)
            vms++;
    for (const struct work *w = d->again; w; w = w->next)
        queued++;
    const struct pool *pool = &d->pool;
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_amount(&p, "used", pool->used.memory_bytes, pool->used.cpus);
    payload_add_amount(&p, "available", pool->total.memory_bytes - pool->used.memory_bytes,
                       pool->total.cpus - pool->used.cpus);
    payload_add_uint(&p, "in_flight", d->running);
    payload_add_uint(&p, "queued", queued);
    payload_add_uint(&p, "vms", vms);
    payload_add_double(&p, "psi_pct", d->psi);
    event_stream_emit(d->settings->stream, 0, "pool_state", &p);
}
