/* Reports of shards, as --json writes them, become one. Shards are disjoint, so everything adds up; what is expected is
 * uncovered only when no shard has it. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coverage/coverage.h"

struct coverage_set {
    json_t *sources; /* everything that was read; tests are borrowed from it */
    json_t *names;   /* of the inputs */
    json_t *owners;  /* path of a test file → which input has it */
    struct coverage **reports; /* one per key */
    size_t count;
};

struct coverage_set *coverage_set_new(void)
{
    struct coverage_set *set = xnew0(struct coverage_set);
    set->sources = json_array();
    set->names = json_array();
    set->owners = json_object();
    return set;
}

void coverage_set_free(struct coverage_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        coverage_free(set->reports[i]);
    free(set->reports);
    json_decref(set->sources);
    json_decref(set->names);
    json_decref(set->owners);
    free(set);
}

static void add_tally(struct tally *t, const json_t *object)
{
    for (int s = 0; s < COVERED_STATUS_COUNT; s++) {
        json_int_t n = json_integer_value(json_object_get(object, covered_status_name(s)));
        t->by_status[s] += n > 0 ? (size_t)n : 0;
    }
    json_int_t flaky = json_integer_value(json_object_get(object, "flaky"));
    t->flaky += flaky > 0 ? (size_t)flaky : 0;
}

static struct bucket *find_bucket(struct coverage *c, const char *name)
{
    for (size_t i = 0; i < c->bucket_count; i++)
        if (!strcmp(c->buckets[i].name, name))
            return &c->buckets[i];
    c->buckets = xreallocarray(c->buckets, c->bucket_count + 1, sizeof(*c->buckets));
    struct bucket *b = &c->buckets[c->bucket_count++];
    *b = (struct bucket){.name = xstrdup(name)};
    return b;
}

static int add_test(struct coverage_set *set, struct bucket *b, const json_t *test, struct err *e)
{
    const char *path = json_string_value(json_object_get(test, "path"));
    const char *name = json_string_value(json_object_get(test, "name"));
    const char *status = json_string_value(json_object_get(test, "status"));
    if (!path || !name || !status)
        return -1;
    size_t own = json_array_size(set->names) - 1;
    const json_t *owner = json_object_get(set->owners, path);
    if (owner && (size_t)json_integer_value(owner) != own)
        return err_set(e, EEXIST, "`%s` is in `%s` and in `%s`", path,
                       json_string_value(json_array_get(set->names, (size_t)json_integer_value(owner))),
                       json_string_value(json_array_get(set->names, own)));
    if (!owner)
        json_object_set_new(set->owners, path, json_integer((json_int_t)own));
    b->tests = xreallocarray(b->tests, b->test_count + 1, sizeof(*b->tests));
    struct covered_test *t = &b->tests[b->test_count++];
    *t = (struct covered_test){.path = path, .name = name, .order = b->test_count};
    for (int i = 0; i < COVERED_STATUS_COUNT; i++)
        if (!strcmp(status, covered_status_name(i)))
            t->status = i;
    return 0;
}

static void add_names(struct strv *out, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        if (text && !strv_contains(out, text))
            strv_add(out, text);
    }
}

static struct coverage *find_report(struct coverage_set *set, const char *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (!strcmp(set->reports[i]->key, key))
            return set->reports[i];
    set->reports = xreallocarray(set->reports, set->count + 1, sizeof(struct coverage *));
    struct coverage *c = set->reports[set->count++] = xnew0(struct coverage);
    c->key = key;
    return c;
}

static int add_report(struct coverage_set *set, const json_t *report, struct err *e)
{
    size_t i, j;
    json_t *bucket, *test;
    const char *key = json_string_value(json_object_get(report, "key"));
    const json_t *buckets = json_object_get(report, "buckets");
    if (!key || !json_is_array(buckets))
        return -1;
    struct coverage *c = find_report(set, key);
    json_array_foreach(buckets, i, bucket)
    {
        const char *name = json_string_value(json_object_get(bucket, "name"));
        if (!name)
            return -1;
        struct bucket *b = find_bucket(c, name);
        add_tally(&b->tally, bucket);
        json_array_foreach(json_object_get(bucket, "tests"), j, test)
        {
            if (add_test(set, b, test, e) < 0)
                return -1;
        }
    }
    add_tally(&c->totals, json_object_get(report, "totals"));
    c->truncated = c->truncated || json_is_true(json_object_get(report, "truncated"));
    add_names(&c->uncovered, json_object_get(report, "uncovered"));
    add_names(&c->unexpected, json_object_get(report, "unexpected"));
    return 0;
}

int coverage_set_add(struct coverage_set *set, const char *name, const struct buf *text, struct err *e)
{
    const char *at = (const char *)buf_head(text), *end = at + text->len;
    json_array_append_new(set->names, json_string(name));
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        json_t *report = json_loadb(at, (size_t)((newline ? newline : end) - at), 0, NULL);
        json_array_append_new(set->sources, report ? report : json_null());
        if (!report || add_report(set, report, e) < 0)
            return e && e->message ? -1 : err_set(e, EINVAL, "`%s`: no JSON of provium-coverage", name);
        at = newline ? newline + 1 : end;
    }
    return 0;
}

/* ------------------------------------------------------------------------------------------------- the whole */

static int by_name(const void *a, const void *b)
{
    const struct bucket *x = a, *y = b;
    int unset = !strcmp(x->name, UNSET_BUCKET) - !strcmp(y->name, UNSET_BUCKET);
    return unset ? unset : strcmp(x->name, y->name);
}

static int by_path(const void *a, const void *b)
{
    const struct covered_test *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static bool has_bucket(const struct coverage *c, const char *name)
{
    for (size_t i = 0; i < c->bucket_count; i++)
        if (!strcmp(c->buckets[i].name, name))
            return true;
    return false;
}

struct coverage *const *coverage_set_end(struct coverage_set *set, size_t *ret_count)
{
    for (size_t i = 0; i < set->count; i++) {
        struct coverage *c = set->reports[i];
        struct strv uncovered = STRV_INIT;
        if (c->bucket_count)
            qsort(c->buckets, c->bucket_count, sizeof(*c->buckets), by_name);
        for (size_t j = 0; j < c->bucket_count; j++)
            if (c->buckets[j].test_count)
                qsort(c->buckets[j].tests, c->buckets[j].test_count, sizeof(*c->buckets[j].tests), by_path);
        for (size_t j = 0; j < c->uncovered.count; j++)
            if (!has_bucket(c, c->uncovered.items[j]))
                strv_add(&uncovered, c->uncovered.items[j]);
        strv_done(&c->uncovered);
        c->uncovered = uncovered;
        strv_sort(&c->unexpected);
    }
    *ret_count = set->count;
    return set->reports;
}
