#include "vm/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/process.h"

#define STDERR_KEPT 16384

struct qemu {
    struct loop *loop;
    const char *noun;
    pid_t pid; /* 0 after the exit */
    int status;
    int stderr_fd;
    struct buf stderr_text;
    struct source *child_source, *stderr_source;
    qemu_exit_fn on_exit;
    void *arg;
};

static void drain_stderr(struct qemu *q)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(q->stderr_fd, chunk, sizeof(chunk))) > 0) {
        size_t room = q->stderr_text.max - q->stderr_text.len;
        buf_append(&q->stderr_text, chunk, (size_t)got < room ? (size_t)got : room);
    }
    if (!got) {
        source_remove(q->stderr_source);
        q->stderr_source = NULL;
    }
}

static void on_stderr(struct source *s, uint32_t events, void *arg)
{
    (void)s, (void)events;
    drain_stderr(arg);
}

static void on_child(struct source *s, pid_t pid, int status, void *arg)
{
    struct qemu *q = arg;
    (void)s, (void)pid;
    q->pid = 0;
    q->status = status;
    q->child_source = NULL;
    drain_stderr(q);
    q->on_exit(q->arg);
}

/* In the child of the runner: same namespaces; 0 is /dev/null, 1 and 2 the stderr pipe, and `fds`. */
static void __attribute__((noreturn)) exec_program(const struct program *p, int stderr_fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0)
        dup2(null_fd, STDIN_FILENO);
    dup2(stderr_fd, STDOUT_FILENO);
    dup2(stderr_fd, STDERR_FILENO);
    process_keep_fds(p->fds, p->fd_count);
    for (size_t i = 0; i < p->fd_count; i++)
        fd_set_cloexec(p->fds[i], false);
    if (p->enter)
        p->enter(p->fds);
    execvp(p->argv->items[0], p->argv->items);
    dprintf(STDERR_FILENO, "%s: %s", p->argv->items[0], strerror(errno));
    _exit(127);
}

struct qemu *qemu_start(struct loop *loop, const struct program *program, qemu_exit_fn on_exit, void *arg, struct err *e)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
        err_errno(e, "stderr pipe");
        return NULL;
    }
    fd_set_nonblock(pipe_fds[0], true);
    pid_t pid = process_fork();
    if (!pid)
        exec_program(program, pipe_fds[1]);
    close(pipe_fds[1]);
    if (pid < 0) {
        err_errno(e, "fork");
        close(pipe_fds[0]);
        return NULL;
    }
    struct qemu *q = xnew0(struct qemu);
    q->loop = loop;
    q->noun = program->noun;
    q->pid = pid;
    q->stderr_fd = pipe_fds[0];
    q->stderr_text = BUF_INIT(STDERR_KEPT);
    q->on_exit = on_exit;
    q->arg = arg;
    q->stderr_source = loop_add_fd(loop, q->stderr_fd, EPOLLIN, on_stderr, q);
    q->child_source = loop_add_child(loop, pid, on_child, q);
    return q;
}

void qemu_tell(struct qemu *q, qemu_exit_fn on_exit, void *arg)
{
    q->on_exit = on_exit;
    q->arg = arg;
}

void qemu_free(struct qemu *q)
{
    if (!q)
        return;
    source_remove(q->child_source);
    source_remove(q->stderr_source);
    if (q->pid)
        process_kill_and_reap(q->pid);
    close_fd(&q->stderr_fd);
    buf_done(&q->stderr_text);
    free(q);
}

pid_t qemu_pid(const struct qemu *q)
{
    return q->pid;
}

bool qemu_exited(const struct qemu *q)
{
    return !q->pid;
}

int qemu_status(const struct qemu *q)
{
    return q->status;
}

char *qemu_describe_exit(const struct qemu *q)
{
    size_t n = q->stderr_text.len;
    const char *text = (const char *)buf_head(&q->stderr_text);
    while (n && strchr("\n ", text[n - 1]))
        n--;
    if (WIFSIGNALED(q->status))
        return xasprintf("%s was killed by SIG%s%s%.*s", q->noun, sigabbrev_np(WTERMSIG(q->status)), n ? ": " : "",
                         (int)n, n ? text : "");
    return xasprintf("%s exited with status %d%s%.*s", q->noun, WEXITSTATUS(q->status), n ? ": " : "", (int)n,
                     n ? text : "");
}
