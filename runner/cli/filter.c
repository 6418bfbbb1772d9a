#include "cli/filter.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static void add_strings(struct buf *out, const struct strv *v)
{
    buf_append_byte(out, '[');
    for (size_t i = 0; i < v->count; i++) {
        if (i)
            buf_append_byte(out, ',');
        json_append_text(out, v->items[i]);
    }
    buf_append_byte(out, ']');
}

static size_t key_length(const char *pair)
{
    return (size_t)(strchr(pair, '=') - pair);
}

static bool same_key(const char *a, const char *b)
{
    return key_length(a) == key_length(b) && !memcmp(a, b, key_length(a));
}

/* "K=V" items as [[K, [V, V…]], …], keys in order of first use. */
static void add_pairs(struct buf *out, const struct strv *v)
{
    const char *separator = "";
    buf_append_byte(out, '[');
    for (size_t i = 0; i < v->count; i++) {
        size_t first = 0;
        _cleanup_strv_ struct strv values = STRV_INIT;
        while (!same_key(v->items[first], v->items[i]))
            first++;
        if (first < i)
            continue;
        for (size_t j = i; j < v->count; j++)
            if (same_key(v->items[i], v->items[j]))
                strv_add(&values, v->items[j] + key_length(v->items[j]) + 1);
        buf_printf(out, "%s[", separator);
        separator = ",";
        json_append_string(out, v->items[i], key_length(v->items[i]));
        buf_append_byte(out, ',');
        add_strings(out, &values);
        buf_append_byte(out, ']');
    }
    buf_append_byte(out, ']');
}

char *filter_json(const struct options *o)
{
    _cleanup_buf_ struct buf out = BUF_INIT((size_t)64 << 20);
    bool shuffle = o->shuffle == SHUFFLE_TESTS || o->shuffle == SHUFFLE_ALL;
    buf_printf(&out, "{\"include_slow\":%s,\"shuffle\":%s,\"tags\":", o->include_slow ? "true" : "false",
               shuffle ? "true" : "false");
    add_strings(&out, &o->tags);
    buf_append_str(&out, ",\"no_tags\":");
    add_strings(&out, &o->no_tags);
    buf_append_str(&out, ",\"tag_meta\":");
    add_pairs(&out, &o->tag_meta);
    buf_append_str(&out, ",\"no_tag_meta\":");
    add_pairs(&out, &o->no_tag_meta);
    buf_append_byte(&out, '}');
    return buf_steal_str(&out);
}
