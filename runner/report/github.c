/* Workflow commands and step summary of GitHub Actions. A step shows at most ten error and ten warning annotations,
 * so the tenth says how many are left out. What breaks a whole file comes first, then failed tests. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "report/report.h"

#define ANNOTATIONS_MAX 10
#define MESSAGE_MAX     4000
#define DETAIL_MAX      8000

/* %, CR and LF, and in properties also `:` and `,` are percent-escaped. */
static void escape(struct buf *out, const char *s, size_t max, bool property)
{
    for (size_t i = 0; s[i] && i < max; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ',')))
            buf_printf(out, "%%%02X", c);
        else
            buf_append_byte(out, c);
    }
}

static void annotate(struct buf *out, const char *kind, const char *file, int64_t line, const char *title,
                     const char *message)
{
    buf_printf(out, "::%s file=", kind);
    escape(out, file, MESSAGE_MAX, true);
    if (line > 0)
        buf_printf(out, ",line=%" PRId64, line);
    buf_append_str(out, ",title=");
    escape(out, title, MESSAGE_MAX, true);
    buf_append_str(out, "::");
    escape(out, message, MESSAGE_MAX, false);
    buf_append_byte(out, '\n');
}

static const char *place(const struct file_result *r, const struct test_result *t)
{
    return t->file && *t->file ? t->file : r->path;
}

static void annotate_test(struct buf *out, const char *kind, const struct file_result *r, const struct test_result *t)
{
    annotate(out, kind, place(r, t), t->line, t->name, t->message);
}

typedef bool (*test_filter)(const struct test_result *t);

static bool is_failed(const struct test_result *t)
{
    return t->status == TEST_FAILED;
}

static bool is_flaky(const struct test_result *t)
{
    return t->flaky;
}

static size_t count_tests(const struct run_record *run, test_filter wanted)
{
    size_t n = 0;
    for (size_t i = 0; i < run->file_count; i++)
        for (size_t j = 0; j < run->files[i]->test_count; j++)
            n += wanted(&run->files[i]->tests[j]);
    return n;
}

/* `left` places remain; the last one is kept for the count of what does not fit. */
static void annotate_tests(struct buf *out, const char *kind, const struct run_record *run, test_filter wanted,
                           size_t left)
{
    size_t total = count_tests(run, wanted), shown = 0, room = total > left ? left - 1 : left;
    for (size_t i = 0; i < run->file_count; i++)
        for (size_t j = 0; j < run->files[i]->test_count && shown < room; j++)
            if (wanted(&run->files[i]->tests[j])) {
                annotate_test(out, kind, run->files[i], &run->files[i]->tests[j]);
                shown++;
            }
    if (shown < total)
        buf_printf(out, "::%s title=not shown::%zu more; the step summary and the log have them all\n", kind,
                   total - shown);
}

void github_annotations(struct buf *out, const struct run_record *run)
{
    size_t left = ANNOTATIONS_MAX, problems = 0;
    size_t room = count_tests(run, is_failed) ? ANNOTATIONS_MAX - 2 : ANNOTATIONS_MAX - 1;
    for (size_t i = 0; i < run->file_count; i++) {
        const struct file_result *r = run->files[i];
        const char *problem = file_problem(r);
        if (problem && ++problems <= room) {
            annotate(out, "error", r->path, 0, file_status_name(r->status), problem);
            left--;
        }
    }
    if (problems > room) {
        buf_printf(out, "::error title=not shown::%zu more files failed as a whole\n", problems - room);
        left--;
    }
    annotate_tests(out, "error", run, is_failed, left);
    annotate_tests(out, "warning", run, is_flaky, ANNOTATIONS_MAX);
}

/* ------------------------------------------------------------------------------------------------- summary */

/* In a table cell: one line, nothing that ends the cell or begins markup. */
static void add_cell(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (strchr("|\\`*_[]<>", *s))
            buf_append_byte(out, '\\');
        buf_append_byte(out, (unsigned char)*s < 0x20 ? ' ' : (uint8_t)*s);
    }
}

/* Foldable; preformatted HTML, which needs no fence that the text could close. Only a block that begins with <pre> may
 * hold blank lines. */
static void add_details(struct buf *out, const char *title, const char *text)
{
    char cut[DETAIL_MAX];
    buf_append_str(out, "<details><summary>");
    xml_append(out, title);
    buf_append_str(out, "</summary>\n\n<pre>\n");
    snprintf(cut, sizeof(cut), "%s", text);
    xml_append(out, cut);
    buf_append_str(out, "\n</pre>\n\n</details>\n\n");
}

static void add_file_row(struct buf *out, const struct file_result *r)
{
    buf_append_str(out, "| ");
    add_cell(out, r->path);
    buf_printf(out, " | %s | %zu | %zu | %zu | %.2f s |\n", file_status_name(r->status), r->passed, r->failed, r->skipped,
               (double)r->duration_ns / 1e9);
}

/* What fits of the parts, and how much did not. */
struct summary {
    struct buf *out;
    size_t max, left_out;
};

static void add_part(struct summary *s, const struct buf *part)
{
    if (s->left_out || s->out->len + part->len > s->max)
        s->left_out++;
    else
        buf_append(s->out, buf_head(part), part->len);
}

static void add_failures(struct summary *s, const struct file_result *r)
{
    const char *problem = file_problem(r);
    _cleanup_buf_ struct buf part = BUF_INIT(1 << 20);
    if (problem) {
        add_details(&part, r->path, problem);
        add_part(s, &part);
    }
    for (size_t i = 0; i < r->test_count; i++) {
        const struct test_result *t = &r->tests[i];
        if (t->status != TEST_FAILED)
            continue;
        _cleanup_buf_ struct buf title = BUF_INIT(1 << 20);
        buf_printf(&title, "%s: %s", r->path, t->name);
        buf_append_byte(&title, '\0');
        buf_clear(&part);
        add_details(&part, (const char *)buf_head(&title), t->message);
        add_part(s, &part);
    }
}

void github_summary(struct buf *out, const struct run_record *run, size_t max)
{
    const struct run_totals *t = &run->totals;
    struct summary s = {.out = out, .max = max > 200 ? max - 200 : 0};
    buf_printf(out, "### provium: %s\n\n%zu files; %zu passed, %zu failed, %zu skipped, %zu flaky; %.2f s\n\n",
               t->files_bad ? "failed" : run->signal_number ? "interrupted" : "passed", t->files, t->passed, t->failed,
               t->skipped, t->flaky, (double)t->duration_ns / 1e9);
    buf_append_str(out, "| file | status | passed | failed | skipped | time |\n|---|---|---:|---:|---:|---:|\n");
    for (int bad = 1; bad >= 0; bad--)
        for (size_t i = 0; i < run->file_count; i++) {
            _cleanup_buf_ struct buf row = BUF_INIT(1 << 20);
            if ((run->files[i]->status != FILE_PASSED) != bad)
                continue;
            add_file_row(&row, run->files[i]);
            add_part(&s, &row);
        }
    buf_append_str(out, "\n");
    for (size_t i = 0; i < run->file_count; i++)
        add_failures(&s, run->files[i]);
    if (s.left_out)
        buf_printf(out, "\n%zu more entries did not fit.\n", s.left_out);
}
