/* The child reports through a pipe, whose end is also the news that it is done. */
#include "loop/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"

#define REPORT_MAX 65536

struct report {
    int fd;
    struct buf text; /* empty: it worked; else the code, the message and the hint, each with its NUL */
    bool ended;
};

/* In the child. */
static void __attribute__((noreturn)) run_child(int fd, int (*fn)(void *arg, struct err *e), void *arg)
{
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT(REPORT_MAX);
    if (!fn(arg, &e))
        _exit(0);
    buf_printf(&out, "%d", e.code);
    buf_append_byte(&out, 0);
    buf_printf(&out, "%.30000s", err_message(&e));
    buf_append_byte(&out, 0);
    buf_printf(&out, "%.30000s", e.hint ? e.hint : "");
    write_full(fd, buf_head(&out), out.len);
    _exit(1);
}

static void on_report(struct source *s, uint32_t events, void *arg)
{
    struct report *r = arg;
    (void)s, (void)events;
    uint8_t *to = buf_reserve(&r->text, 4096);
    ssize_t got = to ? read(r->fd, to, 4096) : 0;
    if (got > 0)
        buf_commit(&r->text, (size_t)got);
    r->ended = got == 0 || (got < 0 && errno != EINTR);
}

static int read_report(struct report *r, int status, struct err *e)
{
    if (WIFEXITED(status) && !WEXITSTATUS(status))
        return 0;
    buf_append(&r->text, "\0\0", 3); /* whatever came, three strings are there */
    const char *code = (const char *)buf_head(&r->text), *message = code + strlen(code) + 1;
    const char *hint = *message ? message + strlen(message) + 1 : "";
    err_set(e, atoi(code), "%s", *message ? message : "the process that did it was killed");
    return *hint ? err_hint(e, "%s", hint) : -1;
}

int aside_call(struct loop *loop, int64_t deadline, int (*fn)(void *arg, struct err *e), void *arg, struct err *e)
{
    int ends[2], status = 0;
    if (!loop)
        return fn(arg, e);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, "pipe");
    pid_t pid = process_fork();
    if (pid == 0)
        run_child(ends[1], fn, arg);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return err_errno(e, "fork");
    }
    struct report r = {.fd = ends[0], .text = BUF_INIT(REPORT_MAX)};
    struct source *source = loop_add_fd(loop, r.fd, EPOLLIN, on_report, &r);
    int result = loop_wait(loop, &r.ended, deadline);
    if (result < 0) {
        err_set(e, errno, "%s", errno == ETIMEDOUT ? "timed out" : "interrupted");
        process_kill_and_reap(pid);
    } else {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        result = read_report(&r, status, e);
    }
    source_remove(source);
    close(ends[0]);
    buf_done(&r.text);
    return result;
}
