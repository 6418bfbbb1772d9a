#include "cli/filter.h"

#include <jansson.h>
#include <string.h>

#include "base/alloc.h"

static json_t *string_array(const struct strv *v)
{
    json_t *array = json_array();
    for (size_t i = 0; i < v->count; i++)
        json_array_append_new(array, json_string(v->items[i]));
    return array;
}

/* "K=V" items as [[K, [V, V…]], …], keys in order of first use. */
static json_t *pair_array(const struct strv *v)
{
    json_t *out = json_array();
    for (size_t i = 0; i < v->count; i++) {
        const char *text = v->items[i], *equals = strchr(text, '=');
        _cleanup_free_ char *key = xstrndup(text, (size_t)(equals - text));
        json_t *values = NULL, *pair;
        size_t at;
        json_array_foreach(out, at, pair)
        {
            if (!strcmp(json_string_value(json_array_get(pair, 0)), key))
                values = json_array_get(pair, 1);
        }
        if (!values) {
            values = json_array();
            json_array_append_new(out, json_pack("[s, o]", key, values));
        }
        json_array_append_new(values, json_string(equals + 1));
    }
    return out;
}

char *filter_json(const struct options *o)
{
    json_t *filter = json_pack("{s:b, s:o, s:o, s:o, s:o}", "include_slow", o->include_slow, "tags",
                               string_array(&o->tags), "no_tags", string_array(&o->no_tags), "tag_meta",
                               pair_array(&o->tag_meta), "no_tag_meta", pair_array(&o->no_tag_meta));
    char *text = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
    json_decref(filter);
    return text;
}
