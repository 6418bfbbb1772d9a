/* switch_root moves /proc away from under us and gives pid 1, and nobody else, a new root by chroot(2). So a
 * descriptor of /proc is kept, and pid 1's root is looked at before each operation that uses a path. Only a change
 * of it is followed: a root that a test chose for the agent stays. */
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static int proc_fd = -1;
static struct stat followed;

int root_init(void)
{
    proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc_fd < 0)
        return -1;
    /* Where this may not be looked at, it is not followed either. */
    return fstatat(proc_fd, "1/root/.", &followed, 0) < 0 && errno != EACCES ? -1 : 0;
}

int root_fd(void)
{
    return proc_fd;
}

void root_raise_fd(int least)
{
    int high = proc_fd < 0 ? -1 : fcntl(proc_fd, F_DUPFD_CLOEXEC, least);
    if (high < 0)
        return;
    close(proc_fd);
    proc_fd = high;
}

void root_follow(struct agent *a)
{
    struct stat now;
    if (!a->options.follow_root || fstatat(proc_fd, "1/root/.", &now, 0) < 0 ||
        (now.st_dev == followed.st_dev && now.st_ino == followed.st_ino))
        return;
    _cleanup_close_ int fd = proc_open("1/root", O_RDONLY | O_DIRECTORY);
    if (fd >= 0 && !fchdir(fd) && !chroot("."))
        followed = now;
}

int proc_open(const char *path, int flags)
{
    return openat(proc_fd, path, flags | O_CLOEXEC);
}
