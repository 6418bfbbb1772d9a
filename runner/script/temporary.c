/* The directory is locked (flock(2)) for as long as its owner lives; whoever makes one removes those of killed processes
 * first. A directory without a lock may also be one that is just being made: it is left alone for a minute. */
#include "script/temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "base/tree.h"

#define PREFIX  "provium-snapshots-"
#define GRACE_S 60

static void sweep_one(const char *path)
{
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && st.st_mtim.tv_sec < time(NULL) - GRACE_S &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        tree_remove(path);
}

static void sweep(const char *parent)
{
    _cleanup_closedir_ DIR *d = opendir(parent);
    struct dirent *entry;
    while (d && (entry = readdir(d))) {
        if (!str_starts_with(entry->d_name, PREFIX))
            continue;
        _cleanup_free_ char *path = path_join(parent, entry->d_name);
        sweep_one(path);
    }
}

static int make(struct script *s, struct err *e)
{
    const char *parent = s->settings->host.environment->temporary_dir;
    sweep(parent);
    _cleanup_free_ char *path = xasprintf("%s/" PREFIX "XXXXXX", parent);
    if (!mkdtemp(path))
        return err_errno(e, "create a directory in `%s`", parent);
    s->temporary_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->temporary_fd >= 0)
        flock(s->temporary_fd, LOCK_EX | LOCK_NB);
    s->temporary = steal_ptr(path);
    return 0;
}

char *temporary_path(struct script *s, const char *suffix, struct err *e)
{
    if (!s->temporary && make(s, e) < 0)
        return NULL;
    return xasprintf("%s/%u%s", s->temporary, ++s->temporary_count, suffix);
}

void temporary_remove(struct script *s)
{
    if (s->temporary)
        tree_remove(s->temporary);
    free(s->temporary);
    s->temporary = NULL;
    close_fd(&s->temporary_fd);
}
