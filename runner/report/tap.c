/* TAP version 14 (https://testanything.org/tap-version-14-specification.html) and KTAP version 1 (the kernel's
 * Documentation/dev-tools/ktap.rst). Both are a subtest per file; they differ in indent, numbering, where the plan
 * stands and how a failure is explained: TAP by a YAML block behind it, KTAP by comments in front of it. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "report/report.h"

/* A name on one line. TAP escapes what would begin a directive; KTAP forbids it. */
static void add_name(struct buf *out, const char *name, bool tap)
{
    for (const char *s = name; *s; s++) {
        if ((unsigned char)*s < 0x20)
            buf_append_byte(out, ' ');
        else if (tap && (*s == '#' || *s == '\\'))
            buf_printf(out, "\\%c", *s);
        else if (*s == '#')
            buf_append_byte(out, '_');
        else
            buf_append_byte(out, (uint8_t)*s);
    }
}

static void add_directive(struct buf *out, const struct test_result *t)
{
    if (t->status != TEST_SKIPPED)
        return;
    buf_append_str(out, " # SKIP ");
    for (const char *s = t->message; *s; s++)
        buf_append_byte(out, (unsigned char)*s < 0x20 ? ' ' : (uint8_t)*s);
}

/* ------------------------------------------------------------------------------------------------- TAP */

static void add_yaml_text(struct buf *out, const char *indent, const char *key, const char *value)
{
    if (!value || !*value)
        return;
    buf_printf(out, "%s%s: ", indent, key);
    json_append_text(out, value); /* a JSON string is a YAML string */
    buf_append_byte(out, '\n');
}

static void add_tap_test(struct buf *out, const struct test_result *t, size_t number)
{
    static const char indent[] = "      ";
    buf_printf(out, "    %sok %zu - ", t->status == TEST_FAILED ? "not " : "", number);
    add_name(out, t->name, true);
    add_directive(out, t);
    buf_append_byte(out, '\n');
    if (t->status == TEST_SKIPPED)
        return;
    buf_printf(out, "%s---\n", indent);
    add_yaml_text(out, indent, t->flaky ? "flaky" : "message", t->message);
    add_yaml_text(out, indent, "file", t->file);
    if (t->line)
        buf_printf(out, "%sline: %" PRId64 "\n", indent, t->line);
    buf_printf(out, "%sduration_ms: %" PRId64 "\n%s...\n", indent, t->duration_ns / NS_PER_MS, indent);
}

void tap_report_begin(struct buf *out)
{
    buf_append_str(out, "TAP version 14\n");
}

void tap_report_file(struct buf *out, const struct file_result *r, size_t number)
{
    const char *problem = file_problem(r);
    buf_append_str(out, "# Subtest: ");
    add_name(out, r->path, true);
    buf_append_byte(out, '\n');
    for (size_t i = 0; i < r->test_count; i++)
        add_tap_test(out, &r->tests[i], i + 1);
    buf_printf(out, "    1..%zu\n%sok %zu - ", r->test_count, r->status == FILE_PASSED ? "" : "not ", number);
    add_name(out, r->path, true);
    buf_append_str(out, "\n  ---\n");
    add_yaml_text(out, "  ", "status", file_status_name(r->status));
    add_yaml_text(out, "  ", "message", problem);
    buf_printf(out, "  duration_ms: %" PRId64 "\n  ...\n", r->duration_ns / NS_PER_MS);
}

void tap_report_end(struct buf *out, const struct run_record *run)
{
    if (run->signal_number)
        buf_printf(out, "Bail out! interrupted by SIG%s\n", sigabbrev_np(run->signal_number));
    else
        buf_printf(out, "1..%zu\n", run->totals.files);
}

/* ------------------------------------------------------------------------------------------------- KTAP */

static void add_comment(struct buf *out, const char *indent, const char *text)
{
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        buf_printf(out, "%s# ", indent);
        utf8_append_clean(out, text, n);
        buf_append_byte(out, '\n');
        text += n + (text[n] == '\n');
    }
}

static void add_ktap_test(struct buf *out, const struct test_result *t, size_t number)
{
    if (t->status == TEST_FAILED || t->flaky)
        add_comment(out, "  ", t->message);
    buf_printf(out, "  %sok %zu ", t->status == TEST_FAILED ? "not " : "", number);
    add_name(out, t->name, false);
    add_directive(out, t);
    buf_append_byte(out, '\n');
}

void ktap_report_begin(struct buf *out, size_t files)
{
    buf_printf(out, "KTAP version 1\n1..%zu\n", files);
}

void ktap_report_file(struct buf *out, const struct file_result *r, size_t number)
{
    if (r->test_count) { /* an empty subtest is an error to the kernel's own parser */
        buf_append_str(out, "  KTAP version 1\n  # Subtest: ");
        add_name(out, r->path, false);
        buf_printf(out, "\n  1..%zu\n", r->test_count);
    }
    for (size_t i = 0; i < r->test_count; i++)
        add_ktap_test(out, &r->tests[i], i + 1);
    add_comment(out, "", file_problem(r));
    buf_printf(out, "%sok %zu ", r->status == FILE_PASSED ? "" : "not ", number);
    add_name(out, r->path, false);
    buf_append_byte(out, '\n');
}
