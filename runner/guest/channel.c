/* States of a guest's channel:
 *
 *   SYNCING    nobody has spoken, or what they say is of the past; bytes are skipped up to a mark
 *   GREETING   our hello is out, with a nonce that its answer has to carry; so answers to older ones do not count
 *   READY      calls can be made
 *   CLOSED     for good, with a reason
 *
 * The agent announces itself after a mark; that is what makes us greet it, whenever it comes. In READY it means
 * that the agent was started again. A resync greets without waiting for an announcement, because the agent of a
 * restored machine does not know that anything happened; its answer begins with a mark of its own. */
#include "guest/upload.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"

static void line_stop(struct line *l)
{
    source_remove(l->source);
    l->source = NULL;
    l->ended = true;
}

/* A descriptor that takes no more is told by its reading side. */
static void line_flush(struct line *l)
{
    while (l->out.len && !l->ended) {
        ssize_t done = send(l->fd, buf_head(&l->out), l->out.len, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != EAGAIN)
            buf_clear(&l->out);
        if (done <= 0)
            break;
        buf_consume(&l->out, (size_t)done);
    }
    bool waiting = l->out.len;
    if (l->source && waiting != l->waiting)
        source_set_events(l->source, EPOLLIN | (waiting ? EPOLLOUT : 0));
    l->waiting = waiting;
}

static void tell(struct guest *g, enum guest_event event, const char *why)
{
    if (g->event_fn)
        g->event_fn(g, event, why, g->event_arg);
}

static void close_channel(struct guest *g, const char *why)
{
    if (g->state == GUEST_CLOSED)
        return;
    g->state = GUEST_CLOSED;
    g->settled = true;
    g->why = xstrdup(why);
    for (size_t i = 0; i < ARRAY_SIZE(g->lines); i++)
        line_stop(&g->lines[i]);
    guest_call_fail_all(g, g->why);
}

static void lose(struct guest *g, const char *why)
{
    if (g->state == GUEST_CLOSED)
        return;
    close_channel(g, why);
    tell(g, GUEST_LOST, g->why);
}

void guest_channel_violation(struct guest *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    _cleanup_free_ char *what = xvasprintf(format, args);
    va_end(args);
    _cleanup_free_ char *why = xasprintf("the agent channel was closed: %s", what);
    lose(g, why);
}

ssize_t guest_channel_put(struct guest *g, const struct message *m)
{
    if (!g->active)
        return -1;
    return message_put(&g->active->out, m);
}

void guest_channel_flush(struct guest *g)
{
    if (g->active)
        line_flush(g->active);
}

bool guest_channel_has_room(const struct guest *g)
{
    return g->active && g->active->out.len < CHANNEL_QUEUED;
}

static void greet(struct guest *g, const struct guest_refresh *refresh)
{
    _cleanup_buf_ struct buf packed = BUF_INIT(1024);
    struct packer p = {.to = &packed};
    if (getrandom(&g->nonce, sizeof(g->nonce), 0) < 0)
        g->nonce++;
    struct args_hello args = {.version = PROTOCOL_VERSION, .nonce = g->nonce};
    if (refresh) {
        args.time_ns = refresh->time_ns;
        args.seed = refresh->seed;
    }
    shape_pack(&p, operations[OPERATION_hello].args, &args);
    struct message m = {.kind = MESSAGE_REQUEST,
                        .id = ++g->next_id,
                        .op = bytes_str(operations[OPERATION_hello].name),
                        .args = bytes_of(buf_head(&packed), packed.len),
                        .data = bytes_of(g->keep, g->keep_count * sizeof(*g->keep))};
    g->state = GUEST_GREETING;
    guest_channel_put(g, &m);
    line_flush(g->active);
}

static char *text_of(struct bytes b)
{
    return xstrndup(b.len ? (const char *)b.data : "", b.len);
}

static void set_agent(struct guest_agent *a, const struct value_hello *value)
{
    free(a->version);
    free(a->system);
    free(a->features);
    a->version = value ? text_of(value->agent_version) : NULL;
    a->system = value ? text_of(value->guest_os) : NULL;
    a->features = value ? text_of(value->agent_features) : NULL;
    a->pid = value ? value->pid : 0;
}

static void on_announcement(struct guest *g, struct line *l, const struct message *m)
{
    struct value_err value;
    if (m->id || !bytes_is(m->op, "agent") || shape_unpack(m->args, &shape_value_err, &value) < 0) {
        guest_channel_violation(g, "an event that belongs to no call");
        return;
    }
    if (value.detail.len && g->state == GUEST_READY) {
        guest_channel_violation(g, "the agent objects: %.*s", (int)value.detail.len, value.detail.data);
        return;
    }
    bool again = g->state == GUEST_READY;
    g->active = l;
    g->settled = false;
    g->state = GUEST_GREETING;
    if (again) {
        guest_call_fail_all(g, "the guest restarted");
        tell(g, GUEST_RESTARTED, "the guest restarted");
    }
    g->keep_count = 0;
    if (g->state == GUEST_GREETING)
        greet(g, NULL);
}

/* An answer to hello, while greeting. */
static void on_greeting(struct guest *g, const struct message *m)
{
    struct value_hello value;
    struct value_err refusal;
    if (m->id != g->next_id)
        return; /* of an earlier session */
    if (m->kind == MESSAGE_OK && !shape_unpack(m->args, &shape_value_hello, &value) &&
        value.nonce == g->nonce) {
        set_agent(&g->agent, &value);
        g->state = GUEST_READY;
        g->settled = true;
        tell(g, GUEST_GREETED, NULL);
    } else if (m->kind == MESSAGE_ERR && !shape_unpack(m->args, &shape_value_err, &refusal)) {
        _cleanup_free_ char *why =
            refusal.version == PROTOCOL_VERSION
                ? xasprintf("the agent cannot %.*s: %s", (int)refusal.detail.len, (const char *)refusal.detail.data,
                            strerror((int)refusal.errno_code))
                : xasprintf("the agent speaks protocol version %llu, this provium %d",
                            (unsigned long long)refusal.version, PROTOCOL_VERSION);
        lose(g, why);
    }
}

static void on_message(struct line *l, const struct message *m)
{
    struct guest *g = l->guest;
    if (m->kind == MESSAGE_EVENT && !m->id)
        on_announcement(g, l, m);
    else if (l != g->active)
        return; /* a line that nobody speaks on: noise */
    else if (g->state == GUEST_GREETING)
        on_greeting(g, m);
    else if (g->state == GUEST_READY)
        guest_call_deliver(g, m);
}

static void read_frames(struct line *l)
{
    struct guest *g = l->guest;
    struct bytes body;
    struct message m;
    for (;;) {
        enum frame_status status = frame_reader_next(&l->reader, &body);
        if (status == FRAME_NONE || l->ended)
            return;
        if (status == FRAME_READY && !message_get(body, &m))
            on_message(l, &m);
        else if (status != FRAME_SYNC && l == g->active && g->state == GUEST_READY)
            guest_channel_violation(g, "a malformed frame");
        else if (status != FRAME_SYNC)
            frame_reader_hunt(&l->reader);
    }
}

static void on_line(struct source *s, uint32_t events, void *arg)
{
    struct line *l = arg;
    (void)s;
    if (events & EPOLLOUT) {
        line_flush(l);
        if (l == l->guest->active && !l->ended) {
            guest_upload_pump_all(l->guest);
            line_flush(l);
        }
    }
    if (l->ended || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    size_t room;
    uint8_t *to = frame_reader_space(&l->reader, &room);
    ssize_t got = read(l->fd, to, room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        struct guest *g = l->guest;
        line_stop(l);
        if (l == g->active || (g->lines[0].ended && g->lines[1].ended))
            lose(g, "the agent channel was closed by the machine");
        return;
    }
    frame_reader_fed(&l->reader, (size_t)got);
    read_frames(l);
}

static void line_init(struct guest *g, struct line *l, int fd)
{
    *l = (struct line){.guest = g, .fd = fd, .out = BUF_INIT(4 * CHANNEL_QUEUED), .ended = fd < 0};
    frame_reader_init(&l->reader, true);
    if (fd < 0)
        return;
    fd_set_nonblock(fd, true);
    l->source = loop_add_fd(g->loop, fd, EPOLLIN, on_line, l);
    l->ended = !l->source;
}

struct guest *guest_new(struct loop *loop, int virtio_fd, int serial_fd)
{
    struct guest *g = xnew0(struct guest);
    g->loop = loop;
    line_init(g, &g->lines[0], virtio_fd);
    line_init(g, &g->lines[1], serial_fd);
    return g;
}

unsigned guest_line(const struct guest *g)
{
    return g->active == &g->lines[1];
}

static void line_done(struct line *l)
{
    line_stop(l);
    close_fd(&l->fd);
    frame_reader_done(&l->reader);
    buf_done(&l->out);
}

void guest_reconnect(struct guest *g, int virtio_fd, int serial_fd, int line)
{
    close_channel(g, "the machine was replaced");
    for (size_t i = 0; i < ARRAY_SIZE(g->lines); i++)
        line_done(&g->lines[i]);
    line_init(g, &g->lines[0], virtio_fd);
    line_init(g, &g->lines[1], serial_fd);
    g->active = line < 0 ? NULL : &g->lines[line];
    g->state = GUEST_SYNCING;
    g->settled = false;
    free(g->why);
    g->why = NULL;
}

void guest_free(struct guest *g)
{
    if (!g)
        return;
    close_channel(g, "the guest is gone");
    for (size_t i = 0; i < ARRAY_SIZE(g->lines); i++)
        line_done(&g->lines[i]);
    set_agent(&g->agent, NULL);
    guest_mark_orphan(g);
    guest_file_orphan(g);
    free(g->keep);
    free(g->why);
    free(g);
}

void guest_set_event_fn(struct guest *g, guest_event_fn fn, void *arg)
{
    g->event_fn = fn;
    g->event_arg = arg;
}

int guest_wait_ready(struct guest *g, int64_t deadline, struct err *e)
{
    if (loop_wait(g->loop, &g->settled, deadline) < 0)
        return err_set(e, errno, errno == ETIMEDOUT ? "the agent did not answer" : "cancelled");
    if (g->state == GUEST_CLOSED)
        return err_set(e, ENOTCONN, "%s", g->why);
    return 0;
}

bool guest_is_ready(const struct guest *g)
{
    return g->state == GUEST_READY;
}

const struct guest_agent *guest_agent(const struct guest *g)
{
    return g->agent.version ? &g->agent : NULL;
}

/* Forgets what is under way on all lines. */
static void new_session(struct guest *g)
{
    g->state = GUEST_SYNCING;
    g->settled = false;
    for (size_t i = 0; i < ARRAY_SIZE(g->lines); i++) {
        buf_clear(&g->lines[i].out);
        frame_reader_hunt(&g->lines[i].reader);
    }
}

void guest_expect_restart(struct guest *g, const char *why)
{
    if (g->state == GUEST_CLOSED)
        return;
    new_session(g);
    g->active = NULL;
    guest_call_fail_all(g, why);
}

void guest_channel_resync(struct guest *g, const uint64_t *keep, size_t keep_count, const struct guest_refresh *refresh)
{
    new_session(g);
    free(g->keep);
    g->keep = keep_count ? xmemdup(keep, keep_count * sizeof(*keep)) : NULL;
    g->keep_count = keep_count;
    for (size_t i = 0; i < ARRAY_SIZE(g->lines); i++) {
        struct line *l = &g->lines[i];
        if (l->ended || (g->active && l != g->active))
            continue;
        buf_append(&l->out, SYNC_MARK, SYNC_MARK_LEN);
        g->active = l;
        greet(g, refresh);
        break;
    }
}

void guest_close(struct guest *g, const char *why)
{
    close_channel(g, why);
}

size_t guest_calls_in_flight(const struct guest *g)
{
    return g->in_flight;
}

int guest_ping(struct guest *g, int64_t deadline, struct err *e)
{
    return guest_call_simple(g, OPERATION_ping, NULL, NULL, deadline, e, "ping");
}

int guest_sync(struct guest *g, int64_t deadline, struct err *e)
{
    return guest_call_simple(g, OPERATION_sync, NULL, NULL, deadline, e, "sync");
}
