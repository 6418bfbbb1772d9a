/* Replies come in the order of the requests. A call that waits pumps the loop, whose callbacks may
 * make calls of their own; so the waiting ones form a queue, and each lives on the heap until its
 * reply is there, even when its caller has given up (interrupted, or past the deadline).
 *
 * The switch is a fork of the runner without exec: same program, no path to find. It keeps stderr
 * and its end of the channel, and dies with the runner. */
#include "network/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "switch/bytes.h"
#include "switch/server.h"

#define ANSWER_NS (60 * NS_PER_S)
#define EXIT_NS   (5 * NS_PER_S)
#define READ_SIZE 65536

struct call {
    struct call *next;
    bool done, abandoned;
    struct buf reply;
};

struct channel {
    struct loop *loop;
    int fd;
    pid_t pid;
    struct source *readable, *child;
    struct buf in;
    struct call *first, **tail;
    bool closed, exited;
    int status;
};

/* ---- the process ---- */

/* In the child: a copy of the runner, which keeps stderr and the channel. */
static void __attribute__((noreturn)) run_switch(int fd)
{
    int null = open("/dev/null", O_RDWR);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    process_keep_fds(&fd, 1);
    prctl(PR_SET_NAME, "provium-switch");
    signal(SIGINT, SIG_IGN); /* of the terminal: the runner decides when to end */
    _exit(switch_serve(fd));
}

static void on_exit_of_switch(struct source *s, pid_t pid, int status, void *arg)
{
    struct channel *c = arg;
    (void)s, (void)pid;
    c->exited = true;
    c->status = status;
    c->child = NULL;
}

/* ---- replies ---- */

static void finish_all(struct channel *c)
{
    c->closed = true;
    source_remove(c->readable);
    c->readable = NULL;
    while (c->first) {
        struct call *call = c->first;
        c->first = call->next;
        call->done = true;
        if (call->abandoned)
            free(call);
    }
    c->tail = &c->first;
}

/* Hands each complete reply to the call that waits longest. */
static int take_replies(struct channel *c)
{
    while (c->in.len >= 4) {
        uint32_t len = get32(buf_head(&c->in));
        if (len > CONTROL_MESSAGE_MAX || !c->first)
            return -1;
        if (c->in.len - 4 < len)
            return 0;
        struct call *call = c->first;
        c->first = call->next;
        if (!c->first)
            c->tail = &c->first;
        call->done = true;
        if (call->abandoned)
            free(call);
        else
            buf_append(&call->reply, buf_head(&c->in) + 4, len);
        buf_consume(&c->in, 4 + len);
    }
    return 0;
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    struct channel *c = arg;
    (void)s, (void)events;
    uint8_t *to = buf_reserve(&c->in, READ_SIZE);
    ssize_t n = to ? recv(c->fd, to, READ_SIZE, MSG_DONTWAIT) : -1;
    if (n < 0 && to && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        buf_commit(&c->in, (size_t)n);
    if (n <= 0 || take_replies(c) < 0)
        finish_all(c);
}

/* ---- calls ---- */

void request_init(struct request *r, enum switch_verb verb)
{
    *r = (struct request){.body = BUF_INIT(CONTROL_MESSAGE_MAX), .fd = -1};
    r->p = (struct packer){.to = &r->body};
    pack_uint(&r->p, verb);
}

void request_about(struct request *r, enum switch_verb verb, uint32_t bridge, const char *name)
{
    request_init(r, verb);
    pack_uint(&r->p, bridge);
    if (name)
        pack_str(&r->p, name);
}

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int send_request(struct channel *c, const struct buf *body, int fd, struct err *e)
{
    uint8_t header[4];
    put32(header, (uint32_t)body->len);
    if (fds_send(c->fd, header, sizeof(header), &fd, fd >= 0) < 0 ||
        send_all(c->fd, buf_head(body), body->len) < 0)
        return err_errno(e, "the switch process is gone");
    return 0;
}

static int lost(const struct channel *c, struct err *e)
{
    if (c->exited && WIFSIGNALED(c->status))
        return err_set(e, EPIPE, "the switch process was killed by signal %d", WTERMSIG(c->status));
    return err_set(e, EPIPE, "the switch process is gone");
}

int channel_confused(struct err *e)
{
    return err_set(e, EPROTO, "the switch process sent a malformed reply");
}

static int take_failure(struct unpacker *u, struct err *e)
{
    int64_t code;
    struct bytes message;
    struct value hint;
    if (unpack_int(u, &code) < 0 || unpack_bytes(u, &message) < 0 || unpack_value(u, &hint) < 0)
        return channel_confused(e);
    err_set(e, (int)code, "%.*s", (int)message.len, (const char *)message.data);
    if (hint.type == VALUE_STR)
        err_hint(e, "%.*s", (int)hint.bytes.len, (const char *)hint.bytes.data);
    return -1;
}

int channel_call(struct channel *c, struct request *r, struct reply *ret, struct err *e)
{
    _cleanup_buf_ struct buf body = r->body;
    bool ok;
    if (r->p.full)
        return err_set(e, E2BIG, "the request is too long");
    if (c->closed)
        return lost(c, e);
    if (send_request(c, &body, r->fd, e) < 0)
        return -1;
    struct call *call = xnew0(struct call);
    call->reply = BUF_INIT(CONTROL_MESSAGE_MAX);
    *c->tail = call;
    c->tail = &call->next;
    if (loop_wait(c->loop, &call->done, deadline_after(ANSWER_NS)) < 0) {
        call->abandoned = true;
        return err_errno(e, "the switch process did not answer");
    }
    ret->body = call->reply;
    free(call);
    if (!ret->body.len)
        return lost(c, e);
    ret->u = unpacker_of(bytes_of(buf_head(&ret->body), ret->body.len));
    if (unpack_bool(&ret->u, &ok) < 0)
        return channel_confused(e);
    return ok ? 0 : take_failure(&ret->u, e);
}

int channel_do(struct channel *c, struct request *r, struct err *e)
{
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    return channel_call(c, r, &reply, e);
}

int channel_record(struct channel *c, struct request *r, const struct record *record, void *ret,
                   struct err *e)
{
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    if (channel_call(c, r, &reply, e) < 0)
        return -1;
    return record_unpack(&reply.u, record, ret) < 0 ? channel_confused(e) : 0;
}

int channel_records(struct channel *c, struct request *r, const struct record *record, void **ret,
                    size_t *ret_count, struct err *e)
{
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    if (channel_call(c, r, &reply, e) < 0)
        return -1;
    if (records_unpack(&reply.u, record, CONTROL_LIST_MAX, ret, ret_count) < 0)
        return channel_confused(e);
    return 0;
}

int channel_uint(struct channel *c, struct request *r, uint32_t *ret, struct err *e)
{
    uint64_t value;
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    if (channel_call(c, r, &reply, e) < 0)
        return -1;
    if (unpack_uint(&reply.u, &value) < 0 || value > UINT32_MAX)
        return channel_confused(e);
    *ret = (uint32_t)value;
    return 0;
}

int channel_bool(struct channel *c, struct request *r, struct err *e)
{
    bool value;
    _cleanup_reply_ struct reply reply = REPLY_INIT;
    if (channel_call(c, r, &reply, e) < 0)
        return -1;
    return unpack_bool(&reply.u, &value) < 0 ? channel_confused(e) : value;
}

/* ---- life ---- */

struct channel *channel_start(struct loop *loop, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        err_errno(e, "start the switch process: socketpair");
        return NULL;
    }
    pid_t pid = process_fork();
    if (pid == 0)
        run_switch(pair[1]);
    close(pair[1]);
    if (pid < 0) {
        err_errno(e, "start the switch process: fork");
        close(pair[0]);
        return NULL;
    }
    struct channel *c = xnew0(struct channel);
    *c = (struct channel){
        .loop = loop, .fd = pair[0], .pid = pid, .in = BUF_INIT(2 * CONTROL_MESSAGE_MAX)};
    c->tail = &c->first;
    c->readable = loop_add_fd(loop, c->fd, EPOLLIN, on_readable, c);
    c->child = loop_add_child(loop, pid, on_exit_of_switch, c);
    if (!c->readable || !c->child) {
        err_errno(e, "start the switch process");
        channel_free(c);
        return NULL;
    }
    return c;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    finish_all(c);
    close_fd(&c->fd);
    if (c->child)
        loop_wait(c->loop, &c->exited, deadline_after(EXIT_NS));
    source_remove(c->child);
    if (!c->exited)
        process_kill_and_reap(c->pid);
    buf_done(&c->in);
    free(c);
}
