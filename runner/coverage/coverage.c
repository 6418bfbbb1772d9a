/* From results to buckets. Every test is put under each of its names in one array, which is then sorted and cut into
 * buckets; a test counts once per bucket and once in the totals, whatever its meta repeats. */
#include "coverage/coverage.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "events/payload.h"

#define NAME_MAX_BYTES ((size_t)4 << 20)

struct entry {
    char *name; /* of the bucket */
    struct covered_test test;
};

struct entries {
    struct entry *items;
    size_t count, capacity, tests;
};

const char *covered_status_name(enum covered_status status)
{
    static const char *const names[] = {"passed", "failed", "skipped", "unfinished"};
    return names[status];
}

/* ------------------------------------------------------------------------------------------------- names */

/* With keys sorted and no white space: equal maps give equal names. */
static char *canonical_json(struct bytes packed)
{
    _cleanup_buf_ struct buf text = BUF_INIT(NAME_MAX_BYTES);
    json_append_packed(&text, packed);
    json_t *value = json_loadb((const char *)buf_head(&text), text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    char *canonical = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    json_decref(value);
    return canonical ? canonical : buf_steal_str(&text);
}

/* The name that one value stands for; NULL for nil. */
static char *name_of(struct bytes packed)
{
    struct value v;
    struct unpacker u = unpacker_of(packed);
    _cleanup_buf_ struct buf text = BUF_INIT(NAME_MAX_BYTES);
    if (unpack_value(&u, &v) < 0 || v.type == VALUE_NIL)
        return NULL;
    if (v.type == VALUE_MAP || v.type == VALUE_ARRAY)
        return canonical_json(packed);
    if (v.type == VALUE_STR || v.type == VALUE_BIN)
        utf8_append_clean(&text, (const char *)v.bytes.data, v.bytes.len);
    else if (v.type == VALUE_DOUBLE)
        buf_printf(&text, "%.14g", v.number); /* as Lua prints it */
    else
        json_append_packed(&text, packed);
    return buf_steal_str(&text);
}

/* The names that meta[key] stands for: none when it is not there. */
static void add_names(const struct buf *meta, const char *key, struct strv *out)
{
    struct bytes packed, item;
    uint32_t count;
    if (!meta->len || !payload_value(bytes_of(buf_head(meta), meta->len), key, &packed))
        return;
    struct unpacker u = unpacker_of(packed);
    bool array = unpack_array(&u, &count) == 0;
    for (uint32_t i = 0; i < (array ? count : 1); i++) {
        if (!array)
            item = packed;
        else if (unpack_skip(&u, &item) < 0)
            break;
        char *name = name_of(item);
        if (name)
            strv_take(out, name);
    }
    strv_sort(out);
    strv_unique(out);
}

/* ------------------------------------------------------------------------------------------------- entries */

static void add_entry(struct entries *all, const char *name, const struct covered_test *test)
{
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? 2 * all->capacity : 256;
        all->items = xreallocarray(all->items, all->capacity, sizeof(*all->items));
    }
    all->items[all->count] = (struct entry){.name = xstrdup(name), .test = *test};
    all->items[all->count++].test.order = all->tests;
}

static void count_test(struct tally *t, const struct covered_test *test)
{
    t->by_status[test->status]++;
    t->flaky += test->flaky;
}

static void add_test(struct coverage *c, struct entries *all, const struct covered_test *test, const struct buf *meta)
{
    _cleanup_strv_ struct strv names = STRV_INIT;
    add_names(meta, c->key, &names);
    if (!names.count)
        strv_add(&names, UNSET_BUCKET);
    for (size_t i = 0; i < names.count; i++)
        add_entry(all, names.items[i], test);
    all->tests++;
    count_test(&c->totals, test);
}

static void add_file(struct coverage *c, struct entries *all, const struct file_result *r)
{
    static const enum covered_status status_of[] = {
        [TEST_PASSED] = COVERED_PASSED, [TEST_FAILED] = COVERED_FAILED, [TEST_SKIPPED] = COVERED_SKIPPED};
    for (size_t i = 0; i < r->test_count; i++) {
        const struct test_result *t = &r->tests[i];
        const struct covered_test test = {.path = r->path, .name = t->name, .status = status_of[t->status], .flaky = t->flaky};
        add_test(c, all, &test, &t->meta);
    }
    if (r->running) {
        const struct covered_test test = {.path = r->path, .name = r->running, .status = COVERED_UNFINISHED};
        add_test(c, all, &test, &r->running_meta);
    }
}

static int by_bucket(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int unset = !strcmp(x->name, UNSET_BUCKET) - !strcmp(y->name, UNSET_BUCKET);
    int order = unset ? unset : strcmp(x->name, y->name);
    if (!order)
        order = strcmp(x->test.path, y->test.path);
    return order ? order : x->test.order < y->test.order ? -1 : x->test.order > y->test.order;
}

static void cut_buckets(struct coverage *c, struct entries *all)
{
    c->buckets = xnewa(struct bucket, all->count + 1);
    for (size_t i = 0; i < all->count; i++) {
        struct entry *e = &all->items[i];
        struct bucket *b = c->bucket_count ? &c->buckets[c->bucket_count - 1] : NULL;
        if (!b || strcmp(b->name, e->name)) {
            size_t same = 1;
            while (i + same < all->count && !strcmp(all->items[i + same].name, e->name))
                same++;
            b = &c->buckets[c->bucket_count++];
            b->name = xstrdup(e->name);
            b->tests = xnewa(struct covered_test, same);
        }
        b->tests[b->test_count++] = e->test;
        count_test(&b->tally, &e->test);
        free(e->name);
    }
}

/* ------------------------------------------------------------------------------------------------- expectations */

static const struct bucket *find_bucket(const struct coverage *c, const char *name)
{
    for (size_t i = 0; i < c->bucket_count; i++)
        if (!strcmp(c->buckets[i].name, name))
            return &c->buckets[i];
    return NULL;
}

static void compare(struct coverage *c, const struct strv *expected)
{
    for (size_t i = 0; i < expected->count; i++)
        if (!find_bucket(c, expected->items[i]) && !strv_contains(&c->uncovered, expected->items[i]))
            strv_add(&c->uncovered, expected->items[i]);
    for (size_t i = 0; i < c->bucket_count; i++)
        if (strcmp(c->buckets[i].name, UNSET_BUCKET) && !strv_contains(expected, c->buckets[i].name))
            strv_add(&c->unexpected, c->buckets[i].name);
}

static bool has_passed(const struct bucket *b)
{
    const size_t *n = b->tally.by_status;
    return n[COVERED_PASSED] && !n[COVERED_FAILED] && !n[COVERED_UNFINISHED];
}

double coverage_percent(const struct coverage *c, const struct strv *expected)
{
    size_t passed = 0, all = expected ? expected->count : 0;
    for (size_t i = 0; i < c->bucket_count; i++) {
        const struct bucket *b = &c->buckets[i];
        if (!strcmp(b->name, UNSET_BUCKET))
            continue;
        all += !expected;
        passed += has_passed(b) && (!expected || strv_contains(expected, b->name));
    }
    return all ? 100.0 * (double)passed / (double)all : 0;
}

struct coverage *coverage_new(const struct replay *replay, const char *key, const struct strv *expected)
{
    struct coverage *c = xnew0(struct coverage);
    struct entries all = {0};
    c->key = key;
    c->truncated = replay->cut || !replay->completed;
    for (size_t i = 0; i < replay->record.file_count; i++)
        add_file(c, &all, replay->record.files[i]);
    if (all.count)
        qsort(all.items, all.count, sizeof(*all.items), by_bucket);
    cut_buckets(c, &all);
    free(all.items);
    if (expected)
        compare(c, expected);
    return c;
}

void coverage_free(struct coverage *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->bucket_count; i++) {
        free(c->buckets[i].name);
        free(c->buckets[i].tests);
    }
    free(c->buckets);
    strv_done(&c->uncovered);
    strv_done(&c->unexpected);
    free(c);
}
