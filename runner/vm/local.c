/* The agent as a process, in namespaces of its own, so that it and what it runs end together, see no other process (but in a
 * container: mounts_separate), leave nothing behind, and can do nothing to this host that its user could not.
 *
 * Three processes: the outer one is the runner's child and unshares; `init`, its only child, is pid 1 of the new pid
 * namespace, reaps, and ends with the agent; the agent is its child, because a pid 1 could not be killed from inside. Who
 * kills the outer one kills init (PR_SET_PDEATHSIG), and with init the kernel kills everything in the namespace.
 *
 * Only the caller's own user and group exist in the user namespace: for root, too, the clock, modules and the power of the
 * host are out of reach. The private directory is a tmpfs, on /tmp of the mount namespace: it vanishes with it. */
#include "vm/local.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "ns/inside.h"

#define DIRECTORY "/tmp"

int local_refuse(const char *what, struct err *e)
{
    return err_set(e, ENOTSUP, "%s: not possible with --vmm local, which has no machine; run without it", what);
}

/* The words go to standard error, which the runner shows with the exit. */
static void __attribute__((noreturn)) fail(const char *what)
{
    dprintf(STDERR_FILENO, "%s: %s", what, strerror(errno));
    _exit(126);
}

static void write_map(const char *name, unsigned id)
{
    char path[64], line[64];
    snprintf(path, sizeof(path), "/proc/self/%s", name);
    int n = id == ~0U ? snprintf(line, sizeof(line), "deny") : snprintf(line, sizeof(line), "%u %u 1", id, id);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)n) != n)
        fail(id ? name : "root's id, which root without its capabilities can't map; run as another user");
}

/* Processes: outer and init. Reaps, and ends as that child did. A pid 1 cannot die of its own signals: it exits with 128 + N,
 * as a shell does. */
static void __attribute__((noreturn)) end_with(pid_t child)
{
    int status;
    pid_t pid;
    close_range(3, ~0U, 0);
    while ((pid = wait(&status)) != child)
        if (pid < 0 && errno != EINTR)
            _exit(126);
    int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code > 128 && getpid() != 1) {
        prctl(PR_SET_DUMPABLE, 0);
        raise(code - 128);
    }
    _exit(code);
}

/* Process: outer. Returns in init. */
static void become_init(void)
{
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) < 0)
        fail("user, mount and pid namespaces, which --vmm local needs");
    write_map("setgroups", ~0U);
    write_map("uid_map", uid);
    write_map("gid_map", gid);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) /* a change of credentials may have undone it */
        fail("death signal");
    pid_t init = fork();
    if (init < 0)
        fail("fork");
    if (init)
        end_with(init);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Process: the runner's child, about to execute the agent; with its socket and its binary as descriptors. */
static void enter(const int *fds)
{
    become_init();
    if (mounts_separate(NULL) < 0 || mount("tmpfs", DIRECTORY, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
        fail("private directory");
    if (chdir(DIRECTORY) < 0 || setenv("HOME", DIRECTORY, 1) < 0 || setenv("TMPDIR", DIRECTORY, 1) < 0)
        fail(DIRECTORY);
    pid_t agent = fork();
    if (agent < 0)
        fail("fork");
    if (agent)
        end_with(agent);
    fd_set_cloexec(fds[1], true);
}

int local_begin(struct loop *loop, int agent_fd, const struct started_events *events, struct started *ret, struct err *e)
{
    _cleanup_strv_ struct strv argv = STRV_INIT;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, "socket pair");
    strv_take(&argv, xasprintf("/proc/self/fd/%d", agent_fd));
    strv_add(&argv, "--fd");
    strv_take(&argv, xasprintf("%d", pair[1]));
    const int fds[] = {pair[1], agent_fd};
    const struct program agent = {.noun = "the agent", .argv = &argv, .fds = fds, .fd_count = 2, .enter = enter};
    *ret = STARTED_INIT;
    ret->qemu = qemu_start(loop, &agent, events->on_exit, events->arg, e);
    close_fd(&pair[1]);
    if (!ret->qemu) {
        close_fd(&pair[0]);
        return -1;
    }
    ret->agent_fd = pair[0];
    return 0;
}
