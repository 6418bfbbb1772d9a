/* JSON lines (docs/cli.md, "JSON"). */
#include <inttypes.h>

#include "base/clock.h"
#include "base/json.h"
#include "events/payload.h"
#include "report/report.h"

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    json_append_text(out, value && *value ? value : NULL);
}

static void add_test(struct buf *out, const struct test_result *t)
{
    buf_append_str(out, "{\"name\":");
    json_append_text(out, t->name);
    add_text(out, "status", test_status_name(t->status));
    add_text(out, "message", t->status == TEST_FAILED ? t->message : NULL);
    buf_append_str(out, ",\"log\":[");
    for (size_t i = 0; i < t->log.count; i++) {
        if (i)
            buf_append_byte(out, ',');
        json_append_text(out, t->log.items[i]);
    }
    buf_printf(out, "],\"duration_ms\":%" PRId64, t->duration_ns / NS_PER_MS);
    add_text(out, "reason", t->status == TEST_SKIPPED || t->flaky ? t->message : NULL);
    buf_printf(out, ",\"flaky\":%s", t->flaky ? "true" : "false");
    buf_append_str(out, ",\"meta\":");
    if (t->meta.len)
        json_append_packed(out, bytes_of(buf_head(&t->meta), t->meta.len));
    else
        buf_append_str(out, "{}");
    add_text(out, "file", t->file);
    buf_printf(out, ",\"line\":%" PRId64, t->line);
    add_text(out, "traceback", t->traceback);
    add_text(out, "console", t->console);
    buf_append_byte(out, '}');
}

void json_report_file(struct buf *out, const struct file_result *r, const struct run_record *run)
{
    buf_append_str(out, "{\"path\":");
    json_append_text(out, r->path);
    add_text(out, "timeout", r->status == FILE_TIMED_OUT ? "timed_out" : "in_time");
    buf_printf(out, ",\"passed\":%s", r->status == FILE_PASSED ? "true" : "false");
    add_text(out, "chunk_error", r->chunk_error);
    buf_append_str(out, ",\"tests\":[");
    for (size_t i = 0; i < r->test_count; i++) {
        if (i)
            buf_append_byte(out, ',');
        add_test(out, &r->tests[i]);
    }
    buf_append_byte(out, ']');
    add_text(out, "status", file_status_name(r->status));
    add_text(out, "detail", r->detail);
    buf_printf(out, ",\"duration_ms\":%" PRId64 ",\"attempts\":%u,\"repeat\":%u,\"seed\":%" PRIu64,
               r->duration_ns / NS_PER_MS, r->attempt, r->repeat, run->seed);
    add_text(out, "shard", run->shard);
    add_text(out, "input_hash", run->input_hash);
    buf_append_str(out, "}\n");
}
