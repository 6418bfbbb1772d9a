#include "cli/merge_input.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/say.h"
#include "events/payload.h"
#include "wire/message.h"

#define STREAM_MAX ((size_t)4 << 30)

int merge_input_read(struct merge_input *in, const char *path, struct err *e)
{
    _cleanup_buf_ struct buf bytes = BUF_INIT(STREAM_MAX);
    in->path = path;
    if (file_read(path, &bytes, e) < 0)
        return -1;
    uint8_t begin = bytes.len ? *buf_head(&bytes) : 0;
    in->form = begin == '{' ? MERGE_JSON : begin == '<' ? MERGE_JUNIT : MERGE_EVENTS;
    int rc = in->form == MERGE_JSON    ? json_results_read(&bytes, &in->replay, e)
             : in->form == MERGE_JUNIT ? junit_results_read(&bytes, &in->replay, e)
                                       : replay_read(&bytes, &in->replay, e);
    if (rc < 0) {
        err_prefix(e, "`%s`", path);
        return err_hint(e, "merge takes what --save-events, --json or --junit has written");
    }
    if (sscanf(in->replay.record.shard, "%u/%u", &in->shard, &in->shards) != 2 || !in->shards)
        return err_set(e, 0, "`%s`: it names no shard", path);
    if (in->form == MERGE_EVENTS && in->replay.protocol != PROTOCOL_VERSION)
        say_warning("`%s`: protocol %lld, this provium speaks %d; %zu frames of unknown kinds skipped", path,
                    (long long)in->replay.protocol, PROTOCOL_VERSION, in->replay.unknown);
    if (in->replay.cut)
        say_warning("`%s`: stream cut after %zu frames at byte %llu", path, in->replay.frames,
                    (unsigned long long)in->replay.bytes);
    else if (!in->replay.completed)
        say_warning("`%s`: the run has no end", path);
    return 0;
}

void merge_input_done(struct merge_input *in)
{
    replay_done(&in->replay);
}

/* ------------------------------------------------------------------------------------------------- one stream of all */

struct stored {
    int64_t ts;
    size_t order;
    const uint8_t *frame;
    size_t size;
    bool discovered;
};

struct stored_list {
    struct stored *items;
    size_t count, capacity;
};

static void store(struct stored_list *list, const struct event *ev)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? 2 * list->capacity : 1024;
        list->items = xreallocarray(list->items, list->capacity, sizeof(*list->items));
    }
    list->items[list->count] = (struct stored){ev->ts, list->count, ev->frame.data, ev->frame.len, event_is(ev, "file_discovered")};
    list->count++;
}

static int by_time(const void *a, const void *b)
{
    const struct stored *x = a, *y = b;
    if (x->discovered != y->discovered)
        return x->discovered ? -1 : 1;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* All frames but those of the runs themselves; the first input's run_started is appended to `out`, as that of the whole. */
static void take_frames(struct buf *bytes, struct stored_list *list, size_t files, bool first, struct buf *out)
{
    struct event ev;
    while (event_next(bytes, &ev, NULL) > 0) {
        if (event_is(&ev, "run_started") && first) {
            _cleanup_payload_ struct payload p = PAYLOAD_INIT;
            _cleanup_buf_ struct buf packed = BUF_INIT(EVENT_FRAME_MAX);
            payload_add_text(&p, "shard", "1/1");
            payload_add_uint(&p, "files", files);
            payload_add_all(&p, ev.payload);
            payload_write(&p, &packed);
            event_append(out, ev.ts, ev.kind, bytes_of(buf_head(&packed), packed.len));
        } else if (!event_is(&ev, "run_started") && !event_is(&ev, "run_completed")) {
            store(list, &ev);
        }
        bytes->start += ev.frame.len; /* not consumed: `list` points into it */
        bytes->len -= ev.frame.len;
    }
}

static void add_end(struct buf *out, int64_t ts, const struct run_totals *totals, int exit_code)
{
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    _cleanup_buf_ struct buf packed = BUF_INIT(4096);
    run_totals_describe(&p, totals, exit_code, exit_code > 128);
    payload_write(&p, &packed);
    event_append(out, ts, bytes_str("run_completed"), bytes_of(buf_head(&packed), packed.len));
}

int merge_events_write(const struct merge_input *inputs, size_t count, const struct run_totals *totals, int exit_code,
                       const char *path, struct err *e)
{
    struct stored_list list = {0};
    _cleanup_buf_ struct buf out = BUF_INIT(STREAM_MAX);
    _cleanup_free_ struct buf *streams = xnewa(struct buf, count + 1);
    int64_t last = 0;
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        streams[i] = BUF_INIT(STREAM_MAX);
        if (inputs[i].form != MERGE_EVENTS)
            rc = err_set(e, 0, "--events: `%s` is no event stream", inputs[i].path);
        else
            rc = file_read(inputs[i].path, &streams[i], e);
        if (!rc)
            take_frames(&streams[i], &list, totals->files + totals->files_not_run, !i, &out);
    }
    if (list.count)
        qsort(list.items, list.count, sizeof(*list.items), by_time);
    for (size_t i = 0; i < list.count && !rc; i++) {
        last = list.items[i].ts > last ? list.items[i].ts : last;
        if (buf_append(&out, list.items[i].frame, list.items[i].size) < 0)
            rc = err_set(e, 0, "--events: more than %zu bytes", STREAM_MAX);
    }
    if (!rc) {
        add_end(&out, last, totals, exit_code);
        rc = file_write_atomic(path, buf_head(&out), out.len, 0644, false, e);
    }
    for (size_t i = 0; i < count; i++)
        buf_done(&streams[i]);
    free(list.items);
    return rc;
}
