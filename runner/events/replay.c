/* Bytes from anywhere: whatever is wrong with them ends the reading, and what was whole before counts. Files that run
 * at the same time are few, so they are looked up in a plain array; a finished one is only looked for when it had an
 * earlier attempt. */
#include "events/replay.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "events/payload.h"

static size_t find_open(const struct replay *r, struct bytes path)
{
    for (size_t i = 0; i < r->open_count; i++)
        if (bytes_is(path, r->open[i]->path))
            return i;
    return SIZE_MAX;
}

/* The running file of that path; made when it is not there. */
static size_t open_file(struct replay *r, struct bytes path)
{
    size_t at = find_open(r, path);
    if (at != SIZE_MAX)
        return at;
    _cleanup_free_ char *name = xstrndup((const char *)path.data, path.len);
    r->open = xreallocarray(r->open, r->open_count + 1, sizeof(*r->open));
    r->open[r->open_count] = file_result_new(name);
    return r->open_count++;
}

/* Replaces the result of an earlier attempt. */
static void close_file(struct replay *r, size_t at)
{
    struct file_result *file = r->open[at];
    r->open[at] = r->open[--r->open_count];
    file_result_settle(file);
    for (size_t i = r->record.file_count; file->attempt > 1 && i-- > 0;) {
        if (!strcmp(r->record.files[i]->path, file->path)) {
            file_result_free(r->record.files[i]);
            r->record.files[i] = file;
            return;
        }
    }
    run_record_add(&r->record, file);
}

static void take_started(struct replay *r, const struct event *ev)
{
    struct bytes packed;
    struct unpacker u;
    uint64_t seed;
    payload_int(ev->payload, "protocol_version", &r->protocol);
    if (payload_value(ev->payload, "seed", &packed)) {
        u = unpacker_of(packed);
        if (unpack_uint(&u, &seed) == 0)
            r->record.seed = seed;
    }
    free(r->record.shard);
    free(r->record.input_hash);
    r->record.shard = payload_string(ev->payload, "shard");
    r->record.input_hash = payload_string(ev->payload, "input_hash");
    r->record.started = ev->ts;
}

static void take_completed(struct replay *r, const struct event *ev)
{
    int64_t not_run = 0;
    bool interrupted = false;
    r->completed = true;
    payload_int(ev->payload, "exit_code", &r->exit_code);
    payload_int(ev->payload, "duration_ns", &r->record.totals.duration_ns);
    payload_int(ev->payload, "not_run", &not_run);
    payload_bool(ev->payload, "interrupted", &interrupted);
    r->record.totals.files_not_run = not_run > 0 ? (size_t)not_run : 0;
    if (interrupted && r->exit_code > 128 && r->exit_code < 128 + 65)
        r->record.signal_number = (int)r->exit_code - 128;
}

/* Kinds that no report needs, or that only some do; those of another protocol version are skipped and counted. */
static bool is_known(const struct event *ev)
{
    static const char *const kinds[] = {
        "file_discovered",       "file_blocked",        "file_dispatched",    "file_completed",  "test_started",
        "test_skipped",          "test_passed",         "test_failed",        "vm_spawned",      "vm_shutdown",
        "pool_state",            "claim_acquired",      "claim_released",     "run_started",     "run_completed",
        "fixture_build_started", "fixture_build_done",  "fixture_cache_hit",  "fixture_build_waiting"};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (event_is(ev, kinds[i]))
            return true;
    return false;
}

static void take(struct replay *r, const struct event *ev)
{
    struct bytes path;
    run_record_take(&r->record, ev);
    if (event_is(ev, "run_started"))
        take_started(r, ev);
    else if (event_is(ev, "run_completed"))
        take_completed(r, ev);
    else if (event_is(ev, "file_dispatched") && payload_bytes(ev->payload, "path", &path)) {
        size_t at = find_open(r, path);
        if (at != SIZE_MAX)
            close_file(r, at);
        at = open_file(r, path);
        file_result_take(r->open[at], ev);
    } else if (event_is(ev, "file_completed") && payload_bytes(ev->payload, "path", &path)) {
        size_t at = open_file(r, path);
        file_result_take(r->open[at], ev);
        close_file(r, at);
    } else if (ev->kind.len > 5 && !memcmp(ev->kind.data, "test_", 5) && payload_bytes(ev->payload, "path", &path)) {
        size_t at = find_open(r, path);
        if (at != SIZE_MAX)
            file_result_take(r->open[at], ev);
    } else {
        r->unknown += !is_known(ev);
    }
    if (ev->ts > r->record.started + r->record.totals.duration_ns && !r->completed)
        r->record.totals.duration_ns = ev->ts - r->record.started;
}

/* What the stream does not tell the end of. */
static void close_rest(struct replay *r, int64_t ts)
{
    while (r->open_count) {
        struct file_result *file = r->open[r->open_count - 1];
        file->status = FILE_CRASHED;
        file->detail = file->running ? xasprintf("unfinished: the event stream ends in `%s`", file->running)
                                     : xstrdup("unfinished: the event stream ends before the file does");
        file->ended = ts;
        file->duration_ns = ts - file->started;
        close_file(r, r->open_count - 1);
    }
}

static void count(struct replay *r)
{
    struct run_totals *t = &r->record.totals;
    for (size_t i = 0; i < r->record.file_count; i++) {
        const struct file_result *file = r->record.files[i];
        t->files++;
        t->files_bad += file->status != FILE_PASSED;
        t->passed += file->passed;
        t->failed += file->failed;
        t->skipped += file->skipped;
        t->flaky += file->flaky;
    }
}

int replay_feed(struct replay *r, struct buf *in, struct err *e)
{
    struct event ev;
    int found;
    while ((found = event_next(in, &ev, e)) > 0) {
        take(r, &ev);
        r->last_ts = ev.ts;
        r->frames++;
        r->bytes += ev.frame.len;
        bool over = event_is(&ev, "run_completed");
        buf_consume(in, ev.frame.len);
        if (over)
            return 1;
    }
    return found;
}

void replay_end(struct replay *r, bool cut)
{
    r->cut = cut;
    close_rest(r, r->last_ts);
    count(r);
    if (!r->record.shard)
        r->record.shard = xstrdup("");
    if (!r->record.input_hash)
        r->record.input_hash = xstrdup("");
}

int replay_read(struct buf *in, struct replay *ret, struct err *e)
{
    struct replay r = {0};
    int found;
    do
        found = replay_feed(&r, in, e);
    while (found > 0);
    if (!r.frames) {
        replay_done(&r);
        return err_set(e, EINVAL, "no event stream: it does not begin with a whole frame");
    }
    err_clear(e);
    replay_end(&r, found < 0 || in->len);
    *ret = r;
    return 0;
}

void replay_done(struct replay *r)
{
    for (size_t i = 0; i < r->open_count; i++)
        file_result_free(r->open[i]);
    free(r->open);
    run_record_done(&r->record);
    *r = (struct replay){0};
}
