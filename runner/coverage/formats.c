/* The forms of a coverage report. */
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "coverage/coverage.h"
#include "report/page.h"
#include "report/report.h"

#define COLUMN 12

/* ------------------------------------------------------------------------------------------------- text */

static size_t characters(const char *s)
{
    size_t shown = 0;
    for (size_t at = 0, n = strlen(s); at < n; shown++) {
        size_t step = utf8_length(s + at, n - at);
        at += step ? step : 1;
    }
    return shown;
}

/* A name on one line, padded to `width` characters. */
static void add_name(struct buf *out, const char *name, size_t width)
{
    for (const char *c = name; *c; c++)
        buf_append_byte(out, (unsigned char)*c < ' ' || *c == 127 ? '?' : (uint8_t)*c);
    for (size_t n = characters(name); n < width; n++)
        buf_append_byte(out, ' ');
}

static void add_row(struct buf *out, const char *name, size_t width, const struct tally *t, const struct tally *totals)
{
    add_name(out, name, width);
    for (int s = 0; s < COVERED_UNFINISHED; s++)
        buf_printf(out, "%*zu", COLUMN, t->by_status[s]);
    if (totals->flaky)
        buf_printf(out, "%*zu", COLUMN, t->flaky);
    if (totals->by_status[COVERED_UNFINISHED])
        buf_printf(out, "%*zu", COLUMN, t->by_status[COVERED_UNFINISHED]);
    buf_append_byte(out, '\n');
}

static void add_list(struct buf *out, const char *title, const struct strv *names)
{
    if (names->count)
        buf_printf(out, "\n%s:\n", title);
    for (size_t i = 0; i < names->count; i++) {
        buf_append_str(out, "  ");
        add_name(out, names->items[i], 0);
        buf_append_byte(out, '\n');
    }
}

void coverage_text(struct buf *out, const struct coverage *c)
{
    size_t width = characters(c->key) > 5 ? characters(c->key) : 5;
    for (size_t i = 0; i < c->bucket_count; i++) {
        size_t n = characters(c->buckets[i].name);
        width = n > width ? n : width;
    }
    add_name(out, c->key, width);
    for (int s = 0; s < COVERED_UNFINISHED; s++)
        buf_printf(out, "%*s", COLUMN, covered_status_name(s));
    if (c->totals.flaky)
        buf_printf(out, "%*s", COLUMN, "flaky");
    if (c->totals.by_status[COVERED_UNFINISHED])
        buf_printf(out, "%*s", COLUMN, "unfinished");
    buf_append_byte(out, '\n');
    for (size_t i = 0; i < c->bucket_count; i++)
        add_row(out, c->buckets[i].name, width, &c->buckets[i].tally, &c->totals);
    add_row(out, "total", width, &c->totals, &c->totals);
    add_list(out, "uncovered", &c->uncovered);
    add_list(out, "unexpected", &c->unexpected);
}

/* ------------------------------------------------------------------------------------------------- JSON */

static void add_tally(struct buf *out, const struct tally *t)
{
    for (int s = 0; s < COVERED_UNFINISHED; s++)
        buf_printf(out, "\"%s\":%zu,", covered_status_name(s), t->by_status[s]);
    buf_printf(out, "\"flaky\":%zu,\"unfinished\":%zu", t->flaky, t->by_status[COVERED_UNFINISHED]);
}

static void add_strings(struct buf *out, const char *name, const struct strv *v)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < v->count; i++) {
        buf_append_str(out, i ? "," : "");
        json_append_text(out, v->items[i]);
    }
    buf_append_byte(out, ']');
}

void coverage_json(struct buf *out, const struct coverage *c)
{
    buf_append_str(out, "{\"key\":");
    json_append_text(out, c->key);
    buf_append_str(out, ",\"buckets\":[");
    for (size_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        buf_append_str(out, i ? ",{\"name\":" : "{\"name\":");
        json_append_text(out, b->name);
        buf_append_byte(out, ',');
        add_tally(out, &b->tally);
        buf_append_str(out, ",\"tests\":[");
        for (size_t j = 0; j < b->test_count; j++) {
            buf_append_str(out, j ? ",{\"path\":" : "{\"path\":");
            json_append_text(out, b->tests[j].path);
            buf_append_str(out, ",\"name\":");
            json_append_text(out, b->tests[j].name);
            buf_printf(out, ",\"status\":\"%s\"}", covered_status_name(b->tests[j].status));
        }
        buf_append_str(out, "]}");
    }
    buf_append_str(out, "],\"totals\":{");
    add_tally(out, &c->totals);
    buf_printf(out, "},\"truncated\":%s", c->truncated ? "true" : "false");
    add_strings(out, "uncovered", &c->uncovered);
    add_strings(out, "unexpected", &c->unexpected);
    buf_append_str(out, "}\n");
}

/* ------------------------------------------------------------------------------------------------- HTML */

static const enum covered_status shown_order[] = {COVERED_FAILED, COVERED_UNFINISHED, COVERED_PASSED, COVERED_SKIPPED};

static void add_bar(struct buf *out, const struct tally *t)
{
    buf_append_str(out, "<div class=bar>");
    for (size_t i = 0; i < ARRAY_SIZE(shown_order); i++)
        page_share(out, covered_status_name(shown_order[i]), t->by_status[shown_order[i]]);
    buf_append_str(out, "</div>\n");
}

/* What a bucket is shown as: the worst of its tests. */
static const char *verdict(const struct tally *t)
{
    for (size_t i = 0; i < ARRAY_SIZE(shown_order); i++)
        if (t->by_status[shown_order[i]])
            return covered_status_name(shown_order[i]);
    return "skipped";
}

static void add_bucket(struct buf *out, const struct bucket *b)
{
    size_t passed = b->tally.by_status[COVERED_PASSED];
    buf_printf(out, "<details class=file data-status=%s data-name=\"", verdict(&b->tally));
    xml_append(out, b->name);
    buf_printf(out, "\"><summary><span class=\"tag %s\">%s</span><span class=name>", verdict(&b->tally), verdict(&b->tally));
    xml_append(out, b->name);
    buf_printf(out, "</span><span class=time>%zu of %zu</span></summary>\n", passed, b->test_count);
    add_bar(out, &b->tally);
    for (size_t i = 0; i < b->test_count; i++) {
        const struct covered_test *t = &b->tests[i];
        const char *status = t->flaky ? "flaky" : covered_status_name(t->status);
        buf_printf(out, "<div class=test data-status=%s data-name=\"", status);
        xml_append(out, t->name);
        buf_printf(out, "\"><span class=\"tag %s\">%s</span> ", status, status);
        xml_append(out, t->name);
        buf_append_str(out, " <span class=place>");
        xml_append(out, t->path);
        buf_append_str(out, "</span></div>\n");
    }
    buf_append_str(out, "</details>\n");
}

static void add_missing(struct buf *out, const char *title, const struct strv *names)
{
    if (!names->count)
        return;
    buf_printf(out, "<h3>%s</h3><pre class=note>", title);
    for (size_t i = 0; i < names->count; i++) {
        xml_append(out, names->items[i]);
        buf_append_byte(out, '\n');
    }
    buf_append_str(out, "</pre>\n");
}

void coverage_html(struct buf *out, struct coverage *const *reports, size_t count)
{
    static const char *const kinds[] = {"failed", "unfinished", "flaky", "passed", "skipped", NULL};
    page_begin(out, "provium coverage");
    page_tools(out, "filter by bucket or test", kinds);
    for (size_t i = 0; i < count; i++) {
        const struct coverage *c = reports[i];
        buf_append_str(out, "<h1>by ");
        xml_append(out, c->key);
        buf_append_str(out, "</h1>\n<p class=numbers>");
        buf_printf(out, "%zu buckets", c->bucket_count);
        for (int s = 0; s < COVERED_STATUS_COUNT; s++)
            buf_printf(out, ", %zu %s", c->totals.by_status[s], covered_status_name(s));
        buf_printf(out, ", %zu flaky%s</p>\n", c->totals.flaky, c->truncated ? "; the stream is cut" : "");
        add_bar(out, &c->totals);
        add_missing(out, "uncovered", &c->uncovered);
        add_missing(out, "unexpected", &c->unexpected);
        for (size_t j = 0; j < c->bucket_count; j++)
            add_bucket(out, &c->buckets[j]);
    }
    page_end(out);
}
