/* Boot option `files` as a cpio archive.
 *
 * With an agent they travel under a private directory and the agent moves them into place, following the initrd's
 * links. Without one they carry their final paths, and a parent directory that the initrd has (as a directory or as a
 * link to one) must not appear again: the kernel would replace the link by a directory. */
#include "initrd/files.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "initrd/scan.h"

#define ARCHIVE_MAX ((size_t)1 << 30)
#define PARENTS_MAX ((size_t)64 << 20)

/* --- parents present in the initrd --- */

struct listing {
    struct strv *names;
    size_t bytes;
};

static int on_entry(void *arg, const struct cpio_entry *entry, struct err *e)
{
    struct listing *listing = arg;
    const char *name = cpio_name(entry);
    if (S_ISREG(entry->mode))
        return 0;
    listing->bytes += strlen(name) + sizeof(char *);
    if (listing->bytes > PARENTS_MAX)
        return err_set(e, EFBIG, "its list of directories is larger than %zu MiB", PARENTS_MAX >> 20);
    strv_add(listing->names, name);
    return 0;
}

int files_list_parents(int initrd_fd, struct strv *out, struct err *e)
{
    struct listing listing = {.names = out};
    const struct cpio_visitor visitor = {.entry = on_entry, .arg = &listing};
    if (initrd_scan(initrd_fd, &visitor, NULL, e) < 0)
        return -1;
    strv_sort(out);
    strv_unique(out);
    return 0;
}

/* --- the archive --- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has(const struct strv *sorted, const char *name)
{
    return sorted && sorted->count && bsearch(&name, sorted->items, sorted->count, sizeof(char *), by_name);
}

struct member {
    char *name;
    const struct initrd_file *file; /* NULL: a directory */
    size_t order;
};

static int by_name_then_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static size_t count_slashes(const char *s)
{
    size_t count = 0;
    for (; *s; s++)
        count += *s == '/';
    return count;
}

static bool is_usable(const char *path)
{
    if (path[0] != '/' || !path[1] || str_ends_with(path, "/") || strlen(path) > 3000)
        return false;
    for (const char *part = path; part; part = strchr(part + 1, '/'))
        if (!part[1] || part[1] == '/' || !strcmp(part, "/.") || !strcmp(part, "/..") ||
            str_starts_with(part, "/./") || str_starts_with(part, "/../"))
            return false;
    return true;
}

/* The file and its parents, as members. */
static size_t add_members(struct member *to, const struct initrd_file *file, const char *prefix,
                          const struct strv *present, size_t order)
{
    size_t count = 0;
    char *name = *prefix ? xasprintf("%s%s", prefix, file->path) : xstrdup(file->path + 1);
    for (char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *parent = xstrndup(name, (size_t)(slash - name));
        if (has(present, parent))
            free(parent);
        else
            to[count++] = (struct member){.name = parent};
    }
    to[count++] = (struct member){.name = name, .file = file, .order = order};
    return count;
}

static int append(struct buf *out, const struct member *m, uint32_t inode)
{
    struct cpio_entry entry = {.name = m->name, .inode = inode, .links = 1};
    if (!m->file) {
        entry.mode = S_IFDIR | 0755;
        entry.links = 2;
        return cpio_append(out, &entry, NULL);
    }
    entry.mode = S_IFREG | (m->file->mode & 07777);
    entry.size = (uint32_t)m->file->size;
    return cpio_append(out, &entry, m->file->content);
}

int files_archive(const struct initrd_file *files, size_t count, const char *prefix, const struct strv *present,
                  struct buf *out, struct err *e)
{
    size_t most = 0, n = 0;
    int result = 0;
    *out = BUF_INIT(ARCHIVE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_usable(files[i].path))
            return err_set(e, EINVAL, "files[%zu]: bad path `%s`", i + 1, files[i].path);
        if (files[i].size > ARCHIVE_MAX)
            return err_set(e, EFBIG, "files[%zu]: `%s` is larger than 1 GiB", i + 1, files[i].path);
        most += count_slashes(files[i].path) + 1;
    }
    struct member *members = xnewa(struct member, most + 1);
    for (size_t i = 0; i < count; i++)
        n += add_members(members + n, &files[i], prefix, present, i + 1);
    qsort(members, n, sizeof(*members), by_name_then_order);
    for (size_t i = 0; i < n && result == 0; i++) {
        bool last = i + 1 == n || strcmp(members[i].name, members[i + 1].name);
        if (!last && !members[i].file && members[i + 1].file)
            result = err_set(e, EINVAL, "files: `/%s` is both a file and a directory", members[i].name);
        else if (last && append(out, &members[i], (uint32_t)i + 1) < 0)
            result = err_set(e, EFBIG, "files: together larger than 1 GiB");
    }
    if (n && result == 0)
        cpio_finish(out);
    for (size_t i = 0; i < n; i++)
        free(members[i].name);
    free(members);
    return result;
}
