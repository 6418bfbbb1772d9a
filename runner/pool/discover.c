/* A walk opens each directory relative to its parent and trusts d_type, so that a tree of ten
 * thousand files costs one getdents per directory and no stat per file. Duplicates are recognised
 * by canonical path: the canonical path of an operand, resolved once, and the names below it, which
 * are no links. */
#include "pool/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

struct found {
    struct test_file file;
    char *canonical;
};

struct walk {
    const char *suffix;
    struct discovery *out;
    struct found *found;
    size_t count, cap;
    void *seen; /* tsearch(3) tree of canonical paths */
};

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->file.path, ((const struct found *)b)->file.path);
}

/* `relative` is the offset in `path` where the part below the test root begins. */
static void add_file(struct walk *w, char *path, size_t relative, char *canonical)
{
    if (w->count == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 64;
        w->found = xreallocarray(w->found, w->cap, sizeof(*w->found));
    }
    w->found[w->count++] = (struct found){{path, path + relative}, canonical};
}

/* A directory entry's type, with links to files followed. */
static unsigned char entry_type(int dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type == DT_REG || entry->d_type == DT_DIR)
        return entry->d_type;
    bool link = entry->d_type == DT_LNK;
    if (!link && fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        link = S_ISLNK(st.st_mode);
    if (fstatat(dir, entry->d_name, &st, 0) < 0)
        return DT_UNKNOWN;
    if (S_ISREG(st.st_mode))
        return DT_REG;
    return S_ISDIR(st.st_mode) && !link ? DT_DIR : DT_UNKNOWN;
}

/* The entries of the current directory are shown without "./". */
static char *join(const char *directory, const char *name)
{
    return strcmp(directory, ".") ? path_join(directory, name) : xstrdup(name);
}

/* Takes over `fd`. */
static void walk_directory(struct walk *w, int fd, const char *path, size_t relative,
                           const char *canonical)
{
    _cleanup_closedir_ DIR *dir = fdopendir(fd);
    if (!dir) {
        strv_addf(&w->out->warnings, "`%s`: %s", path, strerror(errno));
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        bool test = str_ends_with(name, w->suffix);
        if (!strcmp(name, ".") || !strcmp(name, "..") || (!test && *name == '.') ||
            (!test && entry->d_type == DT_REG))
            continue;
        unsigned char type = entry_type(dirfd(dir), entry);
        if (type == DT_REG && test) {
            add_file(w, join(path, name), relative, path_join(canonical, name));
        } else if (type == DT_DIR && *name != '.') {
            _cleanup_free_ char *below = join(path, name), *real = path_join(canonical, name);
            int child = openat(dirfd(dir), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (child >= 0)
                walk_directory(w, child, below, relative, real);
            else
                strv_addf(&w->out->warnings, "`%s`: %s", below, strerror(errno));
        }
    }
}

/* The part of a file's path below the first root that holds it; NULL when none does, or when links
 * make the path end otherwise than the canonical one. */
static const char *below_root(const struct strv *canonical_roots, const struct found *f)
{
    for (size_t i = 0; i < canonical_roots->count; i++) {
        const char *root = canonical_roots->items[i];
        size_t n = strcmp(root, "/") ? strlen(root) : 0;
        if (strncmp(root, f->canonical, n) || f->canonical[n] != '/')
            continue;
        const char *tail = f->canonical + n + 1;
        if (str_ends_with(f->file.path, tail))
            return f->file.path + strlen(f->file.path) - strlen(tail);
    }
    return NULL;
}

/* Gives the files found for one operand, sorted, to the result, without those that are there
 * already. */
static void deliver(struct walk *w, const struct strv *canonical_roots)
{
    if (w->count)
        qsort(w->found, w->count, sizeof(*w->found), compare_found);
    struct discovery *d = w->out;
    d->files = xreallocarray(d->files, d->count + w->count + 1, sizeof(*d->files));
    for (size_t i = 0; i < w->count; i++) {
        struct found *f = &w->found[i];
        char **slot = tsearch(f->canonical, &w->seen, compare_text);
        if (*slot != f->canonical) {
            free(f->file.path);
            free(f->canonical);
            continue;
        }
        const char *relative = below_root(canonical_roots, f);
        if (relative)
            f->file.relative = relative;
        d->files[d->count++] = f->file;
    }
    w->count = 0;
}

static char *trim_slashes(const char *operand)
{
    size_t n = strlen(operand);
    while (n > 1 && operand[n - 1] == '/')
        n--;
    return xstrndup(operand, n);
}

static int walk_operand(struct walk *w, const char *operand, struct err *e)
{
    struct stat st;
    _cleanup_free_ char *canonical = realpath(operand, NULL);
    if (!canonical || stat(operand, &st) < 0)
        return err_errno(e, "`%s`", operand);
    if (S_ISREG(st.st_mode)) {
        add_file(w, xstrdup(operand), 0, steal_ptr(canonical));
        return 0;
    }
    int fd = open(operand, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "`%s`", operand);
    _cleanup_free_ char *directory = trim_slashes(operand);
    size_t relative =
        strcmp(directory, ".") ? strlen(directory) + (directory[strlen(directory) - 1] != '/') : 0;
    walk_directory(w, fd, directory, relative, canonical);
    return 0;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Decides which directories are test roots. */
static int choose_roots(const struct strv *operands, const struct strv *roots, struct discovery *d,
                        struct err *e)
{
    const struct strv *candidates = roots->count ? roots : operands;
    for (size_t i = 0; i < candidates->count; i++) {
        if (is_directory(candidates->items[i]))
            strv_add(&d->roots, candidates->items[i]);
        else if (roots->count)
            strv_addf(&d->warnings, "root `%s` is not a directory", candidates->items[i]);
    }
    if (roots->count && !d->roots.count) {
        _cleanup_free_ char *list = strv_join(roots, ", ");
        return err_set(e, ENOTDIR, "none of the roots is a directory: %s", list);
    }
    if (!d->roots.count)
        strv_add(&d->roots, ".");
    return 0;
}

static int walk_all(struct walk *w, const struct strv *operands, struct err *e)
{
    _cleanup_strv_ struct strv canonical_roots = STRV_INIT;
    for (size_t i = 0; i < w->out->roots.count; i++) {
        char *real = realpath(w->out->roots.items[i], NULL);
        if (real)
            strv_take(&canonical_roots, real);
    }
    int rc = 0;
    for (size_t i = 0; i < operands->count; i++) {
        rc = walk_operand(w, operands->items[i], e) < 0 ? -1 : rc;
        deliver(w, &canonical_roots);
        if (rc < 0)
            break;
    }
    free(w->found);
    tdestroy(w->seen, free);
    return rc;
}

int discover(const struct strv *operands, const struct strv *roots, const char *suffix,
             struct discovery *ret, struct err *e)
{
    _cleanup_(discovery_done) struct discovery d = {0};
    struct walk w = {.suffix = suffix, .out = &d};
    if (choose_roots(operands, roots, &d, e) < 0 ||
        walk_all(&w, operands->count ? operands : &d.roots, e) < 0)
        return -1;
    *ret = d;
    d = (struct discovery){0};
    return 0;
}

void discovery_filter(struct discovery *d, const char *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        if (strstr(d->files[i].relative, text))
            d->files[kept++] = d->files[i];
        else
            free(d->files[i].path);
    }
    d->count = kept;
}

void discovery_done(struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++)
        free(d->files[i].path);
    free(d->files);
    strv_done(&d->roots);
    strv_done(&d->warnings);
    *d = (struct discovery){0};
}
