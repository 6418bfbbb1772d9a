#include "config/resolve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "config/cmdline.h"

#define CMDLINE_FILE_MAX 65536
#define KERNEL_PREFIX    "vmlinuz-"

/* Opens for reading and closes; -1 with errno. O_NONBLOCK: a FIFO must not hang us. */
static int probe_file(const char *path)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    return 0;
}

static int check_file(const struct profile *p, const char *key, const char *path, struct err *e)
{
    if (path && probe_file(path) < 0)
        return err_errno(e, "profile `%s`: %s `%s`", p->name, key, path);
    return 0;
}

/* The first of `beside` (relative to the binary's directory) and `dist` (in that directory or a
 * parent) that exists; the places looked at are added to `tried`. malloc'ed or NULL. */
static char *find_shipped(const struct environment *env, const char *beside, const char *dist,
                          struct strv *tried)
{
    _cleanup_free_ char *directory = xstrdup(env->binary_dir);
    strv_take(tried, path_join(directory, beside));
    for (;;) {
        strv_take(tried, path_join(directory, dist));
        if (!strcmp(directory, "/"))
            break;
        char *parent = path_directory(directory);
        free(directory);
        directory = parent;
    }
    for (size_t i = 0; i < tried->count; i++)
        if (access(tried->items[i], F_OK) == 0)
            return xstrdup(tried->items[i]);
    return NULL;
}

char *bundled_guest_find(const struct environment *env, enum guest_arch arch, struct err *e)
{
    _cleanup_strv_ struct strv tried = STRV_INIT;
    char *found = NULL;
    if (env->guest_dir) {
        _cleanup_free_ char *directory = path_join(env->guest_dir, arch_words[arch]);
        if (access(directory, F_OK) == 0)
            found = xstrdup(directory);
        else
            strv_add(&tried, directory);
    } else {
        _cleanup_free_ char *beside = xasprintf("../share/provium/guest/%s", arch_words[arch]);
        _cleanup_free_ char *dist = xasprintf("dist/guest/%s", arch_words[arch]);
        found = find_shipped(env, beside, dist, &tried);
    }
    if (!found) {
        _cleanup_free_ char *places = strv_join(&tried, ", ");
        err_set(e, ENOENT, "no bundled guest for %s; looked in %s", arch_words[arch], places);
        err_hint(e, "set kernel and initrd, or PROVIUM_GUEST_DIR");
    }
    return found;
}

/* The file behind `name` with links followed inside the tree: an absolute link in a root file
 * system means a file of that tree, not of the host. NULL unless it is a regular file. */
static char *file_in_root(int root, const char *name, struct stat *ret)
{
    char link[64], target[PATH_MAX];
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    _cleanup_close_ int fd = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));
    if (fd < 0 || fstat(fd, ret) < 0 || !S_ISREG(ret->st_mode))
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof(target));
    return n > 0 && (size_t)n < sizeof(target) ? xstrndup(target, (size_t)n) : NULL;
}

struct candidates {
    int root;
    struct strv names, paths; /* as found under the root; the files behind them */
    struct stat *stats;
};

static void add_candidate(struct candidates *c, const char *name)
{
    struct stat st;
    _cleanup_free_ char *path = file_in_root(c->root, name, &st);
    if (!path)
        return;
    for (size_t i = 0; i < c->names.count; i++)
        if (c->stats[i].st_dev == st.st_dev && c->stats[i].st_ino == st.st_ino)
            return;
    c->stats = xreallocarray(c->stats, c->names.count + 1, sizeof(st));
    c->stats[c->names.count] = st;
    strv_add(&c->names, name);
    strv_add(&c->paths, path);
}

/* Names in a directory of the tree that begin with `prefix`, sorted; none when it does not exist.
 */
static void list_names(int root, const char *directory, const char *prefix, struct strv *names)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root, directory, &how, sizeof(how));
    _cleanup_closedir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && str_starts_with(entry->d_name, prefix))
            strv_addf(names, "%s/%s", directory, entry->d_name);
    strv_sort(names);
}

static void add_kernels(struct candidates *c, const char *directory)
{
    _cleanup_strv_ struct strv names = STRV_INIT;
    list_names(c->root, directory, KERNEL_PREFIX, &names);
    for (size_t i = 0; i < names.count; i++)
        add_candidate(c, names.items[i]);
}

static int kernel_from_root(const struct profile *p, char **ret_kernel, struct err *e)
{
    _cleanup_close_ int root = open(p->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_errno(e, "profile `%s`: root `%s`", p->name, p->root);
    struct candidates c = {.root = root};
    _cleanup_strv_ struct strv releases = STRV_INIT;
    list_names(root, "usr/lib/modules", "", &releases);
    for (size_t i = 0; i < releases.count; i++)
        add_kernels(&c, releases.items[i]);
    add_kernels(&c, "boot");

    int result = 0;
    if (c.names.count == 1) {
        *ret_kernel = xstrdup(c.paths.items[0]);
    } else if (!c.names.count) {
        result = err_set(
            e, ENOENT,
            "profile `%s`: no kernel in root `%s`; looked for usr/lib/modules/*/vmlinuz-* and "
            "boot/vmlinuz-*",
            p->name, p->root);
    } else {
        _cleanup_free_ char *list = strv_join(&c.names, ", ");
        err_set(e, EEXIST, "profile `%s`: several kernels in root `%s`: %s", p->name, p->root,
                list);
        result = err_hint(e, "set kernel instead of root");
    }
    strv_done(&c.names);
    strv_done(&c.paths);
    free(c.stats);
    return result;
}

static int read_cmdline_file(const struct profile *p, char **ret_text, struct err *e)
{
    _cleanup_err_ struct err cause = ERR_INIT;
    _cleanup_buf_ struct buf text = BUF_INIT(CMDLINE_FILE_MAX);
    if (check_file(p, "cmdline_file", p->cmdline_file, e) < 0)
        return -1;
    if (file_read(p->cmdline_file, &text, &cause) < 0)
        return err_set(e, cause.code, "profile `%s`: cmdline_file `%s`: %s", p->name,
                       p->cmdline_file, strerror(cause.code));
    if (text.len && memchr(buf_head(&text), '\0', text.len))
        return err_set(e, EINVAL, "profile `%s`: cmdline_file `%s`: holds a NUL byte", p->name,
                       p->cmdline_file);
    *ret_text = buf_steal_str(&text);
    for (char *c = *ret_text; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    return 0;
}

/* `value` itself, or the file of the bundled guest that it stands for. */
static int resolve_image(const struct profile *p, const struct environment *env, const char *key,
                         const char *value, const char *bundled, char **ret, struct err *e)
{
    if (value && !strcmp(value, BUNDLED_GUEST)) {
        _cleanup_free_ char *directory = bundled_guest_find(env, p->arch, e);
        if (!directory)
            return err_prefix(e, "profile `%s`: %s", p->name, key);
        *ret = path_join(directory, bundled);
    } else if (value) {
        *ret = xstrdup(value);
    }
    return check_file(p, key, *ret, e);
}

void profile_files_done(struct profile_files *files)
{
    free(files->kernel);
    free(files->initrd);
    free(files->cmdline);
    *files = (struct profile_files){0};
}

int profile_resolve(const struct profile *p, const struct environment *env,
                    struct profile_files *ret, struct err *e)
{
    _cleanup_(profile_files_done) struct profile_files files = {0};
    _cleanup_free_ char *cmdline = NULL;
    if (p->root && kernel_from_root(p, &files.kernel, e) < 0)
        return -1;
    if (!p->root &&
        resolve_image(p, env, "kernel", p->kernel, BUNDLED_KERNEL, &files.kernel, e) < 0)
        return -1;
    if (resolve_image(p, env, "initrd", p->initrd, BUNDLED_INITRD, &files.initrd, e) < 0)
        return -1;
    if (p->cmdline_file && read_cmdline_file(p, &cmdline, e) < 0)
        return -1;
    files.cmdline = cmdline_join(cmdline ? cmdline : p->cmdline, p->cmdline_append);
    *ret = files;
    files = (struct profile_files){0};
    return 0;
}
