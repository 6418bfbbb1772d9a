#include "cli/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"

extern char **environ;

static int spawn_into(char *const argv[], int output, pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    int rc = posix_spawn(ret, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    errno = rc;
    return rc ? -1 : 0;
}

/* Until end of file: 0, or -1 with errno. */
static int drain(int fd, struct buf *out, int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, deadline_poll_ms(deadline));
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready <= 0 && errno != EINTR)
            return -1;
        if (ready <= 0)
            continue;
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n <= 0)
            return (int)n;
        if (buf_append(out, chunk, (size_t)n) < 0) {
            errno = EFBIG;
            return -1;
        }
    }
}

int capture(char *const argv[], struct buf *out, int64_t timeout_ns, struct err *e)
{
    int ends[2], status;
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, "pipe");
    _cleanup_close_ int from = ends[0], to = ends[1];
    if (spawn_into(argv, to, &child) < 0)
        return err_errno(e, "`%s`", argv[0]);
    close_fd(&to);
    int rc = drain(from, out, deadline_after(timeout_ns)), code = errno;
    if (rc < 0)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc < 0)
        return err_set(e, code, "`%s`: %s", argv[0], strerror(code));
    if (WIFSIGNALED(status))
        return err_set(e, ECHILD, "`%s` was killed by SIG%s", argv[0],
                       sigabbrev_np(WTERMSIG(status)));
    if (WEXITSTATUS(status))
        return err_set(e, ECHILD, "`%s` exited with status %d", argv[0], WEXITSTATUS(status));
    return 0;
}
