/* Each question has a socket of its own, connected to one resolver at a time: answers from
 * elsewhere never reach us, and its port is the kernel's random choice. A resolver that is silent
 * for two seconds, or unreachable, is followed by the next; after two rounds the question is
 * dropped, and the switch tells its client. A question that came by TCP is asked by TCP. */
#include "uplink/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "switch/bytes.h"
#include "switch/dnsproxy.h"

#define DNS_PORT    53
#define PATIENCE_NS (2 * NS_PER_S)
#define ROUNDS      2
#define MESSAGE_MAX 65535

struct question {
    int fd; /* -1: free */
    uint8_t header[DNS_RELAY_HEADER];
    struct buf query; /* with its length in front, as TCP has it */
    struct buf answer;
    size_t sent;
    bool tcp;
    unsigned attempt;
    int64_t deadline;
};

struct relay {
    struct sockaddr_storage resolvers[UPLINK_RESOLVERS_MAX];
    size_t resolver_count;
    struct question questions[RELAY_POLL_MAX];
    relay_answer_fn answer;
    void *arg;
};

/* ---- resolvers ---- */

static void add_resolver(struct relay *r, const char *text)
{
    struct sockaddr_storage *to = &r->resolvers[r->resolver_count];
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    if (r->resolver_count == UPLINK_RESOLVERS_MAX)
        return;
    memset(to, 0, sizeof(*to));
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(DNS_PORT);
    } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(DNS_PORT);
    } else {
        return;
    }
    r->resolver_count++;
}

static void read_resolvers(struct relay *r, const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    if (file_read(path, &text, NULL) == 0) {
        _cleanup_free_ char *all = buf_steal_str(&text);
        char *rest = all, *line;
        while ((line = strsep(&rest, "\n"))) {
            char *word = strtok(line, " \t");
            if (word && !strcmp(word, "nameserver") && (word = strtok(NULL, " \t\r")))
                add_resolver(r, word);
        }
    }
    if (!r->resolver_count)
        add_resolver(r, "127.0.0.1");
}

struct relay *relay_new(const char *resolv_conf, relay_answer_fn answer, void *arg)
{
    struct relay *r = xnew0(struct relay);
    r->answer = answer;
    r->arg = arg;
    for (size_t i = 0; i < RELAY_POLL_MAX; i++)
        r->questions[i].fd = -1;
    read_resolvers(r, resolv_conf);
    return r;
}

static void forget(struct question *q)
{
    close_fd(&q->fd);
    buf_done(&q->query);
    buf_done(&q->answer);
    *q = (struct question){.fd = -1};
}

void relay_free(struct relay *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < RELAY_POLL_MAX; i++)
        forget(&r->questions[i]);
    free(r);
}

size_t relay_resolver_count(const struct relay *r)
{
    return r->resolver_count;
}

void relay_resolver_text(const struct relay *r, size_t i, struct uplink_text *ret)
{
    const struct sockaddr_storage *s = &r->resolvers[i];
    const void *address = s->ss_family == AF_INET
                              ? (const void *)&((struct sockaddr_in *)s)->sin_addr
                              : &((struct sockaddr_in6 *)s)->sin6_addr;
    memset(ret, 0, sizeof(*ret));
    inet_ntop(s->ss_family, address, ret->text, sizeof(ret->text));
}

/* ---- questions ---- */

/* Turns to the next resolver, or gives up. */
static void try_next(struct relay *r, struct question *q, int64_t now)
{
    while (q->attempt < ROUNDS * r->resolver_count) {
        const struct sockaddr_storage *to = &r->resolvers[q->attempt++ % r->resolver_count];
        socklen_t len =
            to->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        int type = (q->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
        close_fd(&q->fd);
        q->fd = socket(to->ss_family, type, 0);
        q->sent = 0;
        buf_clear(&q->answer);
        q->deadline = now + PATIENCE_NS;
        if (q->fd < 0 ||
            (connect(q->fd, (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS))
            continue;
        if (q->tcp || send(q->fd, buf_head(&q->query) + 2, q->query.len - 2, MSG_NOSIGNAL) >= 0)
            return;
    }
    forget(q);
}

void relay_ask(struct relay *r, const uint8_t *payload, size_t size, int64_t now)
{
    uint8_t length[2];
    if (size < DNS_RELAY_HEADER || size - DNS_RELAY_HEADER > MESSAGE_MAX)
        return;
    struct question *q = r->questions;
    for (size_t i = 0; i < RELAY_POLL_MAX; i++) { /* a free one, else the one that ends first */
        if (r->questions[i].fd < 0) {
            q = &r->questions[i];
            break;
        }
        if (r->questions[i].deadline < q->deadline)
            q = &r->questions[i];
    }
    forget(q);
    q->tcp = payload[2];
    q->query = BUF_INIT(MESSAGE_MAX + 2);
    q->answer = BUF_INIT(MESSAGE_MAX + 2);
    memcpy(q->header, payload, DNS_RELAY_HEADER);
    put16(length, (uint16_t)(size - DNS_RELAY_HEADER));
    buf_append(&q->query, length, 2);
    buf_append(&q->query, payload + DNS_RELAY_HEADER, size - DNS_RELAY_HEADER);
    try_next(r, q, now);
}

static void deliver(struct relay *r, struct question *q, const uint8_t *message, size_t size)
{
    _cleanup_free_ uint8_t *payload = xmalloc(DNS_RELAY_HEADER + size);
    memcpy(payload, q->header, DNS_RELAY_HEADER);
    memcpy(payload + DNS_RELAY_HEADER, message, size);
    forget(q);
    if (size <= DNS_RELAY_MAX)
        r->answer(payload, DNS_RELAY_HEADER + size, r->arg);
}

/* An answer has the question's id. */
static bool fits(const struct question *q, const uint8_t *message, size_t size)
{
    return size >= 12 && q->query.len >= 14 && !memcmp(message, buf_head(&q->query) + 2, 2);
}

static void receive_udp(struct relay *r, struct question *q, int64_t now)
{
    static uint8_t message[MESSAGE_MAX];
    ssize_t n = recv(q->fd, message, sizeof(message), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        try_next(r, q, now);
    else if (fits(q, message, (size_t)n))
        deliver(r, q, message, (size_t)n);
}

static void progress_tcp(struct relay *r, struct question *q, int64_t now)
{
    if (q->sent < q->query.len) {
        ssize_t n =
            send(q->fd, buf_head(&q->query) + q->sent, q->query.len - q->sent, MSG_NOSIGNAL);
        if (n >= 0)
            q->sent += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            try_next(r, q, now);
        return;
    }
    uint8_t *to = buf_reserve(&q->answer, q->answer.max - q->answer.len);
    ssize_t n = recv(q->fd, to, q->answer.max - q->answer.len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        try_next(r, q, now);
        return;
    }
    buf_commit(&q->answer, (size_t)n);
    if (q->answer.len < 2 || q->answer.len < 2u + get16(buf_head(&q->answer)))
        return;
    struct buf answer = q->answer;
    q->answer = BUF_INIT(0);
    size_t size = get16(buf_head(&answer));
    if (fits(q, buf_head(&answer) + 2, size))
        deliver(r, q, buf_head(&answer) + 2, size);
    else
        forget(q);
    buf_done(&answer);
}

size_t relay_poll_fill(const struct relay *r, struct pollfd *fds, int64_t *deadline)
{
    size_t n = 0;
    for (size_t i = 0; i < RELAY_POLL_MAX; i++) {
        const struct question *q = &r->questions[i];
        if (q->fd < 0)
            continue;
        bool writes = q->tcp && q->sent < q->query.len;
        fds[n++] = (struct pollfd){.fd = q->fd, .events = writes ? POLLOUT : POLLIN};
        if (q->deadline < *deadline)
            *deadline = q->deadline;
    }
    return n;
}

void relay_poll_done(struct relay *r, const struct pollfd *fds, size_t count, int64_t now)
{
    for (size_t i = 0; i < RELAY_POLL_MAX; i++) {
        struct question *q = &r->questions[i];
        short ready = 0;
        for (size_t k = 0; k < count && q->fd >= 0; k++)
            if (fds[k].fd == q->fd)
                ready = fds[k].revents;
        if (q->fd >= 0 && ready && q->tcp)
            progress_tcp(r, q, now);
        else if (q->fd >= 0 && ready)
            receive_udp(r, q, now);
        if (q->fd >= 0 && now >= q->deadline)
            try_next(r, q, now);
    }
}
