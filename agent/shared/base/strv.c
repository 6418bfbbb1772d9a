#include "base/strv.h"

#include <string.h>

#include "base/alloc.h"

void strv_done(struct strv *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->items[i]);
    free(v->items);
    *v = STRV_INIT;
}

void strv_take(struct strv *v, char *s)
{
    if (v->count + 2 > v->cap) {
        v->cap = v->cap ? v->cap * 2 : 8;
        v->items = xreallocarray(v->items, v->cap, sizeof(char *));
    }
    v->items[v->count++] = s;
    v->items[v->count] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
    strv_take(v, xstrdup(s));
}

void strv_addf(struct strv *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *s = xvasprintf(format, args);
    va_end(args);
    strv_take(v, s);
}

bool strv_contains(const struct strv *v, const char *s)
{
    for (size_t i = 0; i < v->count; i++)
        if (!strcmp(v->items[i], s))
            return true;
    return false;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *v)
{
    if (v->count)
        qsort(v->items, v->count, sizeof(char *), compare);
}

void strv_unique(struct strv *v)
{
    size_t kept = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (kept && !strcmp(v->items[kept - 1], v->items[i]))
            free(v->items[i]);
        else
            v->items[kept++] = v->items[i];
    }
    v->count = kept;
    if (v->items)
        v->items[kept] = NULL;
}

char *strv_join(const struct strv *v, const char *separator)
{
    size_t size = 1;
    for (size_t i = 0; i < v->count; i++)
        size += strlen(v->items[i]) + strlen(separator);
    char *out = xmalloc(size);
    char *at = out;
    for (size_t i = 0; i < v->count; i++) {
        if (i)
            at = stpcpy(at, separator);
        at = stpcpy(at, v->items[i]);
    }
    *at = '\0';
    return out;
}

bool str_starts_with(const char *s, const char *prefix)
{
    return !strncmp(s, prefix, strlen(prefix));
}

bool str_ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && !memcmp(s + n - m, suffix, m);
}

static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    size_t row[64];
    if (n >= ARRAY_SIZE(row))
        return n;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *str_nearest(const char *s, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    size_t limit = strlen(s) / 3 + 1, distance = limit + 1;
    for (size_t i = 0; i < count; i++) {
        size_t d = edit_distance(s, candidates[i]);
        if (d < distance) {
            distance = d;
            best = candidates[i];
        }
    }
    return best;
}

char *path_join(const char *directory, const char *name)
{
    if (*name == '/')
        return xstrdup(name);
    return xasprintf("%s%s%s", directory, str_ends_with(directory, "/") ? "" : "/", name);
}

char *path_absolute(const char *path)
{
    if (*path == '/')
        return xstrdup(path);
    _cleanup_free_ char *here = getcwd(NULL, 0);
    const char *directory = here ? here : "/";
    while (str_starts_with(path, "./"))
        path += strspn(path + 1, "/") + 1;
    return !*path || !strcmp(path, ".") ? xstrdup(directory) : path_join(directory, path);
}

char *path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    if (slash == path)
        return xstrdup("/");
    return xstrndup(path, (size_t)(slash - path));
}
