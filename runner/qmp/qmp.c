/* One reader on the loop splits the stream into lines; each is a greeting, an event or a reply. QEMU answers in
 * the order of the requests unless out-of-band is on, but replies are matched by id all the same. Events are
 * delivered from the loop, thus also while a call waits. A line may have 16 MiB: query-qmp-schema has 200 KiB. */
#include "qmp/qmp.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/io.h"

#define LINE_MAX_BYTES (16 << 20)

struct call {
    struct call *next;
    json_int_t id;
    bool done;
    json_t *reply; /* the whole object; NULL when the connection ended */
};

struct qmp {
    struct loop *loop;
    int fd;
    struct source *source;
    struct buf input;
    struct call *calls;
    json_int_t next_id;
    bool greeted, closed;
    char *version;
    qmp_event_fn on_event;
    qmp_closed_fn on_closed;
    void *arg;
};

static void finish(struct qmp *qmp)
{
    if (qmp->closed)
        return;
    qmp->closed = qmp->greeted = true;
    source_remove(qmp->source);
    qmp->source = NULL;
    for (struct call *c = qmp->calls; c; c = c->next)
        c->done = true;
    qmp->on_closed(qmp->arg);
}

static void take_reply(struct qmp *qmp, json_t *object)
{
    json_t *id = json_object_get(object, "id");
    for (struct call *c = qmp->calls; c; c = c->next) {
        if (c->done || !json_is_integer(id) || json_integer_value(id) != c->id)
            continue;
        c->reply = json_incref(object);
        c->done = true;
        return;
    }
}

static void take_greeting(struct qmp *qmp, json_t *greeting)
{
    int major = 0, minor = 0, micro = 0;
    const char *package = "";
    json_unpack(greeting, "{s:{s:{s:i, s:i, s:i}, s?s}}", "version", "qemu", "major", &major, "minor", &minor, "micro",
                &micro, "package", &package);
    free(qmp->version);
    qmp->version = xasprintf("%d.%d.%d%s%s%s", major, minor, micro, *package ? " (" : "", package, *package ? ")" : "");
    qmp->greeted = true;
}

static void take_line(struct qmp *qmp, const char *line, size_t n)
{
    json_t *object = json_loadb(line, n, 0, NULL);
    const char *event = json_string_value(json_object_get(object, "event"));
    if (json_object_get(object, "QMP"))
        take_greeting(qmp, json_object_get(object, "QMP"));
    else if (event)
        qmp->on_event(event, json_object_get(object, "data"), qmp->arg);
    else if (object)
        take_reply(qmp, object);
    json_decref(object);
}

/* One read and the lines it completed; false when there was nothing to read. */
static bool read_some(struct qmp *qmp)
{
    uint8_t *to = buf_reserve(&qmp->input, 65536);
    ssize_t got = to ? recv(qmp->fd, to, 65536, MSG_DONTWAIT) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        finish(qmp);
        return false;
    }
    buf_commit(&qmp->input, (size_t)got);
    for (;;) {
        char *head = (char *)buf_head(&qmp->input);
        char *end = qmp->input.len ? memchr(head, '\n', qmp->input.len) : NULL;
        if (!end)
            return true;
        take_line(qmp, head, (size_t)(end - head));
        buf_consume(&qmp->input, (size_t)(end + 1 - head));
    }
}

static void on_readable(struct source *s, uint32_t events, void *arg)
{
    (void)s, (void)events;
    read_some(arg);
}

struct qmp *qmp_new(struct loop *loop, int fd, qmp_event_fn on_event, qmp_closed_fn on_closed, void *arg)
{
    struct qmp *qmp = xnew0(struct qmp);
    qmp->loop = loop;
    qmp->fd = fd;
    qmp->input = BUF_INIT(LINE_MAX_BYTES);
    qmp->on_event = on_event;
    qmp->on_closed = on_closed;
    qmp->arg = arg;
    qmp->source = loop_add_fd(loop, fd, EPOLLIN, on_readable, qmp);
    static const char negotiate[] = "{\"execute\":\"qmp_capabilities\"}\n";
    if (write_full(fd, negotiate, sizeof(negotiate) - 1) < 0)
        qmp->greeted = true; /* QEMU is gone: the reader will notice */
    return qmp;
}

void qmp_tell(struct qmp *qmp, qmp_event_fn on_event, qmp_closed_fn on_closed, void *arg)
{
    qmp->on_event = on_event;
    qmp->on_closed = on_closed;
    qmp->arg = arg;
}

void qmp_free(struct qmp *qmp)
{
    if (!qmp)
        return;
    source_remove(qmp->source);
    close_fd(&qmp->fd);
    buf_done(&qmp->input);
    free(qmp->version);
    free(qmp);
}

int qmp_version(struct qmp *qmp, int64_t deadline, const char **ret, struct err *e)
{
    if (loop_wait(qmp->loop, &qmp->greeted, deadline) < 0)
        return err_set(e, errno, "QEMU did not greet in time");
    if (!qmp->version)
        return err_set(e, EPIPE, "QEMU closed its monitor");
    *ret = qmp->version;
    return 0;
}

static int send_command(struct qmp *qmp, const char *command, json_t *arguments, json_int_t id, int fd,
                        struct err *e)
{
    json_t *request = json_pack("{s:s, s:I, s:o*}", "execute", command, "id", id, "arguments", arguments);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    if (!text)
        return err_set(e, EINVAL, "arguments cannot be encoded");
    int failed = fds_send(qmp->fd, text, strlen(text), &fd, fd >= 0);
    free(text);
    if (failed || write_full(qmp->fd, "\n", 1) < 0)
        return err_set(e, EPIPE, "QEMU closed its monitor");
    return 0;
}

static int read_reply(json_t *reply, json_t **ret, struct err *e)
{
    json_t *error = json_object_get(reply, "error");
    if (error) {
        const char *text = json_string_value(json_object_get(error, "desc"));
        return err_set(e, 0, "%s", text ? text : "QEMU refused it");
    }
    if (ret)
        *ret = json_incref(json_object_get(reply, "return"));
    return 0;
}

int qmp_call_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd, int64_t deadline,
                json_t **ret, struct err *e)
{
    int result = -1;
    if (qmp->closed) {
        json_decref(arguments);
        return err_set(e, EPIPE, "qmp: %s: QEMU closed its monitor", command);
    }
    struct call call = {.id = ++qmp->next_id, .next = qmp->calls};
    qmp->calls = &call;
    if (send_command(qmp, command, arguments, call.id, fd, e) < 0)
        goto out;
    if (loop_wait(qmp->loop, &call.done, deadline) < 0)
        err_set(e, errno, errno == ECANCELED ? "interrupted" : "no reply in time");
    else if (!call.reply)
        err_set(e, EPIPE, "QEMU closed its monitor");
    else
        result = read_reply(call.reply, ret, e);
out:
    for (struct call **at = &qmp->calls; *at; at = &(*at)->next) {
        if (*at == &call) {
            *at = call.next;
            break;
        }
    }
    json_decref(call.reply);
    if (result < 0)
        err_prefix(e, "qmp: %s", command);
    return result;
}

void qmp_send(struct qmp *qmp, const char *command, json_t *arguments)
{
    if (qmp->closed)
        json_decref(arguments);
    else
        send_command(qmp, command, arguments, ++qmp->next_id, -1, NULL);
}

void qmp_drain(struct qmp *qmp)
{
    while (qmp->source && read_some(qmp))
        ;
}

int qmp_call(struct qmp *qmp, const char *command, json_t *arguments, int64_t deadline, json_t **ret,
             struct err *e)
{
    return qmp_call_fd(qmp, command, arguments, -1, deadline, ret, e);
}
