/* JUnit XML as Jenkins reads it (jenkinsci/xunit-plugin, junit-10.xsd), with the attributes `file` and `line` that
 * GitLab and others show. A file is a testsuite; why a file itself failed is a testcase named after it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "events/payload.h"
#include "report/report.h"

static void add_attribute(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, " %s=\"", name);
    for (const char *s = value; *s;) { /* an attribute's line ends would be read as spaces */
        char part[512];
        size_t n = strcspn(s, "\n");
        if (!n) {
            buf_append_str(out, "&#10;");
            s++;
            continue;
        }
        if (n >= sizeof(part)) {
            n = sizeof(part) - 4;
            while (((unsigned char)s[n] & 0xc0) == 0x80 && n > sizeof(part) - 8)
                n--;
        }
        memcpy(part, s, n);
        part[n] = '\0';
        xml_append(out, part);
        s += n;
    }
    buf_append_byte(out, '"');
}

static void add_seconds(struct buf *out, int64_t ns)
{
    buf_printf(out, " time=\"%.3f\"", (double)ns / 1e9);
}

static void add_element(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, "      <%s>", name);
    xml_append(out, text);
    buf_printf(out, "</%s>\n", name);
}

/* <failure message="first line">everything</failure> */
static void add_problem(struct buf *out, const char *element, const char *type, const char *message, const char *more)
{
    char first[256];
    snprintf(first, sizeof(first), "%.*s", (int)strcspn(message, "\n"), message);
    buf_printf(out, "      <%s", element);
    add_attribute(out, "message", first);
    add_attribute(out, "type", type);
    buf_append_byte(out, '>');
    xml_append(out, message);
    if (more && *more) {
        buf_append_byte(out, '\n');
        xml_append(out, more);
    }
    buf_printf(out, "</%s>\n", element);
}

/* The scalars of meta. */
static void add_properties(struct buf *out, const struct test_result *t)
{
    struct unpacker u = unpacker_of(bytes_of(buf_head(&t->meta), t->meta.len));
    uint32_t pairs;
    bool any = false;
    struct bytes key, packed;
    if (!t->meta.len || unpack_map(&u, &pairs) < 0)
        return;
    while (pairs-- && unpack_bytes(&u, &key) == 0 && unpack_skip(&u, &packed) == 0) {
        struct value v;
        struct unpacker item = unpacker_of(packed);
        if (unpack_value(&item, &v) < 0 || v.type == VALUE_ARRAY || v.type == VALUE_MAP || v.type == VALUE_NIL)
            continue;
        _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
        if (v.type == VALUE_STR || v.type == VALUE_BIN)
            buf_append(&text, v.bytes.data, v.bytes.len);
        else
            json_append_packed(&text, packed);
        _cleanup_free_ char *name = strndup((const char *)key.data, key.len), *value = buf_steal_str(&text);
        buf_append_str(out, any ? "        <property" : "      <properties>\n        <property");
        any = true;
        add_attribute(out, "name", name);
        add_attribute(out, "value", value);
        buf_append_str(out, "/>\n");
    }
    if (any)
        buf_append_str(out, "      </properties>\n");
}

static void add_test(struct buf *out, const struct file_result *r, const struct test_result *t)
{
    buf_append_str(out, "    <testcase");
    add_attribute(out, "classname", r->path);
    add_attribute(out, "name", t->name);
    add_seconds(out, t->duration_ns);
    if (t->file && *t->file) {
        add_attribute(out, "file", t->file);
        buf_printf(out, " line=\"%" PRId64 "\"", t->line);
    }
    buf_append_str(out, ">\n");
    add_properties(out, t);
    if (t->status == TEST_FAILED)
        add_problem(out, "failure", "failure", t->message, t->traceback);
    if (t->flaky)
        add_problem(out, "flakyFailure", "flaky", t->message, NULL);
    if (t->status == TEST_SKIPPED) {
        buf_append_str(out, "      <skipped");
        add_attribute(out, "message", t->message);
        buf_append_str(out, "/>\n");
    }
    if (t->log.count) {
        _cleanup_free_ char *log = strv_join(&t->log, "\n");
        add_element(out, "system-out", log);
    }
    if (t->console && *t->console)
        add_element(out, "system-err", t->console);
    buf_append_str(out, "    </testcase>\n");
}

/* What is not as it is for most files. */
static void add_suite_properties(struct buf *out, const struct file_result *r)
{
    if (r->attempt < 2 && r->repeat < 2)
        return;
    buf_printf(out, "    <properties>\n      <property name=\"attempts\" value=\"%u\"/>\n", r->attempt);
    buf_printf(out, "      <property name=\"repeat\" value=\"%u\"/>\n    </properties>\n", r->repeat);
}

static void add_file(struct buf *out, const struct file_result *r)
{
    const char *problem = file_problem(r);
    char when[32] = "1970-01-01T00:00:00";
    time_t started = (time_t)(r->started / NS_PER_S);
    struct tm tm;
    if (gmtime_r(&started, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_append_str(out, "  <testsuite");
    add_attribute(out, "name", r->path);
    buf_printf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%d\" skipped=\"%zu\" timestamp=\"%s\"",
               r->test_count + (problem != NULL), r->failed, problem != NULL, r->skipped, when);
    add_seconds(out, r->duration_ns);
    add_attribute(out, "file", r->path);
    buf_append_str(out, ">\n");
    add_suite_properties(out, r);
    if (problem) {
        buf_append_str(out, "    <testcase");
        add_attribute(out, "classname", r->path);
        add_attribute(out, "name", r->path);
        add_seconds(out, r->duration_ns);
        add_attribute(out, "file", r->path);
        buf_append_str(out, ">\n");
        add_problem(out, "error", file_status_name(r->status), problem, r->stderr_tail);
        buf_append_str(out, "    </testcase>\n");
    }
    for (size_t i = 0; i < r->test_count; i++)
        add_test(out, r, &r->tests[i]);
    buf_append_str(out, "  </testsuite>\n");
}

void junit_report(struct buf *out, const struct run_record *run)
{
    size_t tests = 0, failures = 0, errors = 0;
    for (size_t i = 0; i < run->file_count; i++) {
        const struct file_result *r = run->files[i];
        tests += r->test_count + (file_problem(r) != NULL);
        failures += r->failed;
        errors += file_problem(r) != NULL;
    }
    buf_printf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- provium shard %s hash %s seed %" PRIu64 " -->\n", run->shard,
               *run->input_hash ? run->input_hash : "none", run->seed);
    buf_printf(out, "<testsuites name=\"provium\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"", tests, failures, errors);
    add_seconds(out, run->totals.duration_ns);
    buf_append_str(out, ">\n");
    for (size_t i = 0; i < run->file_count; i++)
        add_file(out, run->files[i]);
    buf_append_str(out, "</testsuites>\n");
}
