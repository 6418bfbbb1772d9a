/* Cache directories.
 *
 * An entry appears complete or not at all: it is written as an unnamed file (O_TMPFILE), synced, and linked. Where
 * the file system can't do that (overlayfs before 6.3, NFS) a temporary name is used, and its writer holds a lock
 * (flock(2)) for as long as it lives, so that the sweep can tell the leftover of a killed process. */
#include "initrd/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

#define TEMPORARY ".new-"
#define TEMPORARY_GRACE_S 60

int cache_open(const char *directory, const char *name, off_t size)
{
    _cleanup_free_ char *path = path_join(directory, name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -1;
    if (size >= 0 && st.st_size != size) {
        unlink(path);
        return -1;
    }
    futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}});
    return steal_fd(&fd);
}

static int create_named(const char *directory, char **ret_path)
{
    _cleanup_free_ char *path = xasprintf("%s/" TEMPORARY "XXXXXX", directory);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -1;
    flock(fd, LOCK_EX | LOCK_NB);
    *ret_path = steal_ptr(path);
    return fd;
}

int cache_create(const char *directory, struct cache_file *ret, struct err *e)
{
    char *temporary = NULL;
    if (dir_create_all(directory, 0700, e) < 0)
        return -1;
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL))
        fd = create_named(directory, &temporary);
    if (fd < 0)
        return err_errno(e, "create a file in `%s`", directory);
    *ret = (struct cache_file){.fd = fd, .directory = xstrdup(directory), .temporary = temporary};
    return 0;
}

int cache_create_in_memory(const char *name, struct cache_file *ret, struct err *e)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "create a file in memory");
    *ret = (struct cache_file){.fd = fd};
    return 0;
}

int cache_install(struct cache_file *f, const char *name, struct err *e)
{
    if (!f->directory)
        return 0;
    _cleanup_free_ char *path = path_join(f->directory, name);
    if (fdatasync(f->fd) < 0)
        return err_errno(e, "write `%s`", path);
    if (f->temporary) {
        if (rename(f->temporary, path) < 0)
            return err_errno(e, "rename `%s`", path);
        free(steal_ptr(f->temporary));
        return 0;
    }
    char self[32];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
        return err_errno(e, "link `%s`", path);
    return 0;
}

int cache_file_reopen(const struct cache_file *f, struct err *e)
{
    char self[32];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
    int fd = open(self, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "open `%s`", self);
    return fd;
}

void cache_file_done(struct cache_file *f)
{
    if (f->temporary)
        unlink(f->temporary);
    free(f->temporary);
    free(f->directory);
    close_fd(&f->fd);
    *f = CACHE_FILE_INIT;
}

/* A temporary file whose writer is gone. The grace covers the moment between its creation and its lock. */
static bool is_abandoned(int directory, const char *name, const struct stat *st, time_t now)
{
    if (st->st_mtime > now - TEMPORARY_GRACE_S)
        return false;
    _cleanup_close_ int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

void cache_sweep(const char *directory)
{
    _cleanup_closedir_ DIR *d = opendir(directory);
    time_t now = time(NULL);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        struct stat st;
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
            continue;
        bool temporary = str_starts_with(entry->d_name, TEMPORARY);
        if (temporary ? is_abandoned(dirfd(d), entry->d_name, &st, now)
                      : st.st_mtime < now - CACHE_UNUSED_DAYS * 86400)
            unlinkat(dirfd(d), entry->d_name, 0);
    }
}
