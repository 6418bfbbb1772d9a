/* Pid 1 of a fresh guest. With an /init in the initramfs, that becomes pid 1 with the arguments and the environment
 * that the kernel gave us, and the agent lives on as its child. The first byte of the child's argv[0] is `@`: systemd
 * spares such a process when it leaves the initrd. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent.h"
#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "random.h"

#define FILES_DIRECTORY "/.provium-files"

static const struct pseudo {
    const char *type, *where, *options;
    unsigned long flags;
    bool alone; /* only when the agent stays pid 1: an init may want it otherwise */
} pseudos[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, false},
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID, false},
    {"devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, false},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, false},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV, false},
    {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, true},
};

static bool is_mount_point(const char *path)
{
    _cleanup_free_ char *parent = xasprintf("%s/..", path);
    struct stat here, above;
    return !stat(path, &here) && !stat(parent, &above) && here.st_dev != above.st_dev;
}

static void mount_pseudos(bool alone)
{
    for (size_t i = 0; i < ARRAY_SIZE(pseudos); i++) {
        const struct pseudo *p = &pseudos[i];
        if ((p->alone && !alone) || is_mount_point(p->where))
            continue;
        mkdir(p->where, 0755);
        if (mount(p->type, p->where, p->type, p->flags, p->options) < 0)
            agent_log("mount %s on %s: %s", p->type, p->where, strerror(errno));
    }
}

static int copy_into_place(const char *from, const char *to, mode_t mode)
{
    _cleanup_free_ char *parent = path_directory(to);
    uint8_t block[16384];
    if (*parent && dir_create_all(parent, 0755, NULL) < 0)
        return -1;
    _cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
    _cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode & 07777);
    if (in < 0 || out < 0)
        return -1;
    for (;;) {
        ssize_t got = read_full(in, block, sizeof(block));
        if (got < 0 || write_full(out, block, (size_t)got) < 0)
            return -1;
        if ((size_t)got < sizeof(block))
            return fchmod(out, mode & 07777);
    }
}

static int place_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)ftw;
    if (kind == FTW_DP) {
        rmdir(path);
        return 0;
    }
    const char *to = path + strlen(FILES_DIRECTORY);
    if (copy_into_place(path, to, st->st_mode) < 0)
        agent_log("cannot put %s in place: %s", to, strerror(errno));
    unlink(path);
    return 0;
}

/* The boot option `files`: they travel apart, so that links in the initramfs are followed here. */
static void place_files(void)
{
    if (!access(FILES_DIRECTORY, F_OK))
        nftw(FILES_DIRECTORY, place_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* An initramfs without /dev/console left the kernel nothing to open for its first process. */
static void open_console(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/console", O_RDWR | O_NOCTTY) < 0)
            open("/dev/null", O_RDWR);
}

static void leave_console(void)
{
    _cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
}

bool init_run(char **argv)
{
    bool alone = access("/init", X_OK) < 0 && access(FILES_DIRECTORY "/init", X_OK) < 0;
    umask(0);
    mount_pseudos(alone);
    open_console();
    place_files();
    random_settle();
    if (alone) {
        leave_console();
        return true;
    }
    pid_t pid = fork();
    if (pid < 0)
        agent_log("fork: %s; this boot has no agent", strerror(errno));
    if (!pid) { /* serves; everything is shared with pid 1 but memory */
        argv[0][0] = '@';
        setsid();
        leave_console();
        return false;
    }
    umask(022);
    argv[0] = "/init";
    execv("/init", argv);
    agent_log("cannot execute /init: %s", strerror(errno));
    _exit(127); /* the kernel panics, and says so */
}
