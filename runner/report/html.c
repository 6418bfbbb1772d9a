/* One page: totals, a timeline (places for workers from top to bottom, time from left to right, VMs below their file,
 * memory in use at the bottom), then every file and test. */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strv.h"
#include "events/payload.h"
#include "report/page.h"
#include "report/report.h"

#define WIDTH      1000.0
#define LANE       26.0
#define POOL       40.0
#define VM_HEIGHT  4.0
#define LABELS_MIN 60.0 /* a bar at least that wide carries its name */

/* ------------------------------------------------------------------------------------------------- timeline */

struct timeline {
    struct buf *out;
    const struct run_record *run;
    int64_t from, to;
    unsigned lanes;
};

static double x_of(const struct timeline *t, int64_t ts)
{
    return WIDTH * (double)(ts - t->from) / (double)(t->to - t->from);
}

static void add_grid(const struct timeline *t, double height)
{
    static const double steps[] = {0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 36000};
    double seconds = (double)(t->to - t->from) / 1e9, step = steps[ARRAY_SIZE(steps) - 1];
    for (size_t i = ARRAY_SIZE(steps); i-- > 0;)
        if (seconds / steps[i] <= 10)
            step = steps[i];
    for (double at = 0; at <= seconds; at += step) {
        double x = WIDTH * at / seconds;
        buf_printf(t->out, "<line class=grid x1=%.1f x2=%.1f y1=0 y2=%.0f /><text x=%.1f y=%.0f>%g s</text>\n", x, x,
                   height, x + 2, height - 2, at);
    }
}

static void add_file_bar(const struct timeline *t, size_t index)
{
    const struct file_result *r = t->run->files[index];
    double x = x_of(t, r->started), width = x_of(t, r->ended) - x, y = LANE * r->worker + 2;
    buf_printf(t->out, "<a href=\"#f%zu\"><rect class=%s x=%.1f y=%.0f width=%.1f height=%.0f rx=2><title>", index,
               file_status_name(r->status), x, y, width < 1 ? 1 : width, LANE - VM_HEIGHT - 6);
    xml_append(t->out, r->path);
    buf_printf(t->out, ": %s, %.2f s</title></rect>", file_status_name(r->status), (double)r->duration_ns / 1e9);
    if (width >= LABELS_MIN) {
        const char *name = strrchr(r->path, '/');
        _cleanup_free_ char *label = xstrndup(name ? name + 1 : r->path, (size_t)(width / 6));
        buf_printf(t->out, "<text x=%.1f y=%.0f>", x + 4, y + 12);
        xml_append(t->out, label);
        buf_append_str(t->out, "</text>");
    }
    buf_append_str(t->out, "</a>\n");
}

static const struct file_result *file_at(const struct run_record *run, const struct vm_span *vm)
{
    for (size_t i = 0; i < run->file_count; i++)
        if (!strcmp(run->files[i]->path, vm->file))
            return run->files[i];
    return NULL;
}

static void add_vm_bar(const struct timeline *t, const struct vm_span *vm)
{
    const struct file_result *r = file_at(t->run, vm);
    if (!r)
        return;
    double x = x_of(t, vm->spawned), width = x_of(t, vm->ended ? vm->ended : r->ended) - x;
    buf_printf(t->out, "<rect class=vm x=%.1f y=%.0f width=%.1f height=%.0f><title>vm ", x,
               LANE * (r->worker + 1) - VM_HEIGHT - 2, width < 1 ? 1 : width, VM_HEIGHT);
    xml_append(t->out, vm->name);
    buf_printf(t->out, " (%" PRId64 " MiB, ", vm->memory_bytes >> 20);
    xml_append(t->out, vm->profile);
    buf_append_str(t->out, ")</title></rect>\n");
}

static void add_memory(const struct timeline *t, double bottom)
{
    const struct run_record *run = t->run;
    if (!run->pool_count)
        return;
    buf_printf(t->out, "<polygon class=memory points=\"%.1f,%.1f", x_of(t, run->pool[0].ts), bottom);
    for (size_t i = 0; i < run->pool_count; i++) {
        const struct pool_sample *s = &run->pool[i];
        double total = (double)(s->memory_used + s->memory_available), used = (double)s->memory_used;
        buf_printf(t->out, " %.1f,%.1f", x_of(t, s->ts), bottom - (total > 0 ? POOL * used / total : 0));
    }
    buf_printf(t->out, " %.1f,%.1f\"><title>memory of the pool in use</title></polygon>\n",
               x_of(t, run->pool[run->pool_count - 1].ts), bottom);
}

static void add_timeline(struct buf *out, const struct run_record *run)
{
    struct timeline t = {.out = out, .run = run, .from = INT64_MAX, .to = 0, .lanes = 1};
    for (size_t i = 0; i < run->file_count; i++) {
        const struct file_result *r = run->files[i];
        t.from = r->started && r->started < t.from ? r->started : t.from;
        t.to = r->ended > t.to ? r->ended : t.to;
        t.lanes = r->worker >= t.lanes ? r->worker + 1 : t.lanes;
    }
    for (size_t i = 0; i < run->pool_count; i++)
        t.to = run->pool[i].ts > t.to ? run->pool[i].ts : t.to;
    if (t.to <= t.from)
        return;
    double height = LANE * t.lanes + POOL + 14;
    buf_printf(out, "<svg id=timeline viewBox=\"0 0 %.0f %.0f\" role=img aria-label=\"timeline of the run\">\n", WIDTH,
               height);
    add_grid(&t, height);
    add_memory(&t, height - 14);
    for (size_t i = 0; i < run->file_count; i++)
        if (run->files[i]->started)
            add_file_bar(&t, i);
    for (size_t i = 0; i < run->vm_count; i++)
        add_vm_bar(&t, &run->vms[i]);
    buf_append_str(out, "</svg>\n");
}

/* ------------------------------------------------------------------------------------------------- files */

static void add_pre(struct buf *out, const char *title, const char *class_name, const char *text)
{
    if (!text || !*text)
        return;
    if (title)
        buf_printf(out, "<h3>%s</h3>", title);
    buf_printf(out, "<pre class=%s>", class_name);
    xml_append(out, text);
    buf_append_str(out, "</pre>\n");
}

static void add_heading(struct buf *out, const char *status, const char *name, int64_t duration_ns)
{
    buf_printf(out, "<summary><span class=\"tag %s\">%s</span><span class=name>", status, status);
    xml_append(out, name);
    buf_printf(out, "</span><span class=time>%.2f s</span></summary>\n", (double)duration_ns / 1e9);
}

static void add_test(struct buf *out, const struct test_result *t)
{
    const char *status = t->flaky ? "flaky" : test_status_name(t->status);
    buf_printf(out, "<details class=test data-status=%s data-name=\"", status);
    xml_append(out, t->name);
    buf_printf(out, "\"%s>", t->status == TEST_FAILED ? " open" : "");
    add_heading(out, status, t->name, t->duration_ns);
    if (t->file && *t->file) {
        buf_append_str(out, "<div class=place>");
        xml_append(out, t->file);
        buf_printf(out, ":%" PRId64 "</div>\n", t->line);
    }
    add_pre(out, t->flaky ? "failed before" : NULL, t->status == TEST_FAILED ? "message" : "note", t->message);
    add_pre(out, "traceback", "note", t->traceback);
    if (t->log.count) {
        _cleanup_free_ char *log = strv_join(&t->log, "\n");
        add_pre(out, "log", "note", log);
    }
    add_pre(out, "console", "note", t->console);
    if (t->meta.len > 1) {
        _cleanup_buf_ struct buf json = BUF_INIT(4 << 20);
        json_append_packed(&json, bytes_of(buf_head(&t->meta), t->meta.len));
        _cleanup_free_ char *meta = buf_steal_str(&json);
        add_pre(out, "meta", "note", meta);
    }
    buf_append_str(out, "</details>\n");
}

static void add_file(struct buf *out, const struct file_result *r, size_t index)
{
    const char *status = file_status_name(r->status), *problem = file_problem(r);
    buf_printf(out, "<details class=file id=f%zu data-status=%s%s data-name=\"", index,
               r->status == FILE_PASSED ? "passed" : "failed", problem ? " data-problem=1" : "");
    xml_append(out, r->path);
    buf_printf(out, "\"%s>", r->status == FILE_PASSED ? "" : " open");
    add_heading(out, status, r->path, r->duration_ns);
    if (r->attempt > 1)
        buf_printf(out, "<div class=place>attempt %u</div>\n", r->attempt);
    add_pre(out, NULL, "message", problem);
    add_pre(out, "standard error", "note", r->stderr_tail);
    for (size_t i = 0; i < r->test_count; i++)
        add_test(out, &r->tests[i]);
    buf_append_str(out, "</details>\n");
}

/* ------------------------------------------------------------------------------------------------- page */

static void add_totals(struct buf *out, const struct run_record *run)
{
    const struct run_totals *t = &run->totals;
    bool bad = t->files_bad || run->signal_number;
    buf_printf(out, "<h1>provium: <b class=%s>%s</b></h1>\n<p class=numbers>", bad ? "bad" : "ok",
               run->signal_number ? "interrupted" : t->files_bad ? "failed" : "passed");
    buf_printf(out, "%zu files; %zu passed, %zu failed, %zu skipped, %zu flaky", t->files, t->passed, t->failed,
               t->skipped, t->flaky);
    if (t->files_not_run)
        buf_printf(out, ", %zu files not run", t->files_not_run);
    buf_printf(out, "; %.2f s; seed %" PRIu64 "; shard %s</p>\n<div class=bar>", (double)t->duration_ns / 1e9, run->seed,
               run->shard);
    page_share(out, "failed", t->failed);
    page_share(out, "flaky", t->flaky);
    page_share(out, "passed", t->passed - t->flaky);
    page_share(out, "skipped", t->skipped);
    buf_append_str(out, "</div>\n");
}

void html_report(struct buf *out, const struct run_record *run)
{
    static const char *const kinds[] = {"failed", "flaky", "passed", "skipped", NULL};
    page_begin(out, "provium");
    add_totals(out, run);
    add_timeline(out, run);
    page_tools(out, "filter by file or test", kinds);
    for (int bad = 1; bad >= 0; bad--)
        for (size_t i = 0; i < run->file_count; i++)
            if ((run->files[i]->status != FILE_PASSED) == bad)
                add_file(out, run->files[i], i);
    page_end(out);
}
