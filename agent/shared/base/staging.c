#include "base/staging.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "base/tree.h"

int staging_new(const char *parent, const char *prefix, struct staging *ret, struct err *e)
{
    for (;;) {
        _cleanup_free_ char *path = xasprintf("%s/%sXXXXXX", parent, prefix);
        if (!mkdtemp(path))
            return err_errno(e, "create a directory in `%s`", parent);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && fd_is_at(fd, path)) {
            *ret = (struct staging){steal_ptr(path), steal_fd(&fd)};
            return 0;
        }
    }
}

void staging_done(struct staging *s)
{
    if (s->path)
        tree_remove(s->path);
    free(s->path);
    close_fd(&s->fd);
    *s = STAGING_INIT;
}

void staging_sweep(const char *parent, const char *prefix)
{
    _cleanup_closedir_ DIR *d = opendir(parent);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        if (!str_starts_with(entry->d_name, prefix))
            continue;
        _cleanup_free_ char *path = path_join(parent, entry->d_name);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            tree_remove(path);
    }
}
