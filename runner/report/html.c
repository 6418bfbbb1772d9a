/* One page: totals, the timeline, then every file and test; bars and files lead to each other. */
#include "report/html.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/strv.h"
#include "events/payload.h"
#include "report/page.h"

/* ------------------------------------------------------------------------------------------------- whose what is */

static const struct run_record *compared; /* by by_path */

static int by_path(const void *a, const void *b)
{
    return strcmp(compared->files[*(const size_t *)a]->path, compared->files[*(const size_t *)b]->path);
}

static int path_against(const void *path, const void *index)
{
    return strcmp(path, compared->files[*(const size_t *)index]->path);
}

static size_t find_file(const size_t *sorted, size_t count, const char *path)
{
    const size_t *found = bsearch(path, sorted, count, sizeof(*sorted), path_against);
    return found ? *found : SIZE_MAX;
}

static void page_link(struct html_page *page)
{
    const struct run_record *run = compared = page->run;
    _cleanup_free_ size_t *sorted = xnewa(size_t, run->file_count + 1);
    for (size_t i = 0; i < run->file_count; i++)
        sorted[i] = i;
    qsort(sorted, run->file_count, sizeof(*sorted), by_path);
    page->vm_files = xnewa(size_t, run->vm_count + 1);
    page->span_files = xnewa(size_t, run->span_count + 1);
    for (size_t i = 0; i < run->vm_count; i++)
        page->vm_files[i] = find_file(sorted, run->file_count, run->vms[i].file);
    for (size_t i = 0; i < run->span_count; i++)
        page->span_files[i] = find_file(sorted, run->file_count, run->spans[i].file);
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

/* What is drawn of a file, with links to the bars. */
static void add_drawn(const struct html_page *page, size_t index)
{
    struct buf *out = page->out;
    const struct run_record *run = page->run;
    const struct file_result *r = run->files[index];
    if (r->started)
        buf_printf(out, "<div class=place><a href=\"#b%zu\">timeline</a>, worker %u", index, r->worker);
    for (size_t i = 0; r->started && i < run->vm_count; i++) {
        if (page->vm_files[i] != index)
            continue;
        const struct vm_span *vm = &run->vms[i];
        buf_printf(out, " · <a href=\"#v%zu\">vm ", i);
        xml_append(out, vm->name);
        buf_printf(out, "</a> %.1f s", (double)((vm->ended ? vm->ended : r->ended) - vm->spawned) / 1e9);
    }
    for (size_t i = 0; r->started && i < run->span_count; i++) {
        if (page->span_files[i] != index)
            continue;
        const struct run_span *span = &run->spans[i];
        buf_printf(out, " · <a href=\"#s%zu\">", i);
        html_span_title(out, span);
        buf_printf(out, "</a> %.1f s", (double)((span->ended ? span->ended : r->ended) - span->started) / 1e9);
    }
    if (r->started)
        buf_append_str(out, "</div>\n");
}

static void add_file(const struct html_page *page, size_t index)
{
    struct buf *out = page->out;
    const struct file_result *r = page->run->files[index];
    const char *status = file_status_name(r->status), *problem = file_problem(r);
    buf_printf(out, "<details class=file id=f%zu data-status=%s%s data-name=\"", index,
               r->status == FILE_PASSED ? "passed" : "failed", problem ? " data-problem=1" : "");
    xml_append(out, r->path);
    buf_printf(out, "\"%s>", r->status == FILE_PASSED ? "" : " open");
    add_heading(out, status, r->path, r->duration_ns);
    if (r->attempt > 1)
        buf_printf(out, "<div class=place>attempt %u</div>\n", r->attempt);
    add_drawn(page, index);
    add_pre(out, NULL, "message", problem);
    add_pre(out, "standard output", "note", r->stdout_tail);
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
    struct html_page page = {.out = out, .run = run};
    page_link(&page);
    page_begin(out, "provium");
    add_totals(out, run);
    html_timeline(&page);
    page_tools(out, "filter by file or test", kinds);
    for (int bad = 1; bad >= 0; bad--)
        for (size_t i = 0; i < run->file_count; i++)
            if ((run->files[i]->status != FILE_PASSED) == bad)
                add_file(&page, i);
    page_end(out);
    free(page.vm_files);
    free(page.span_files);
}
