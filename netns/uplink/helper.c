/* libslirp between a link's frames and the host's sockets.
 *
 * Process: forked by the broker for one bridge; host's network namespace, no capabilities;
 * descriptors: the link, the answer's socket (kept open so that the runner sees when we die),
 * stderr. The link carries Ethernet between the bridge's gateway and libslirp: the gateway stands
 * for all guests and is their proxy for ARP and neighbour discovery, so libslirp sees the guests'
 * own addresses. DNS questions come as frames of their own type (relay.c).
 *
 * Frames to the switch are written in batches; when it doesn't keep up they are dropped, as
 * libslirp expects. */
#include "uplink/helper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "switch/bytes.h"
#include "switch/dnsproxy.h"
#include "switch/packet.h"
#include "uplink/datagrams.h"
#include "uplink/lockdown.h"
#include "uplink/relay.h"

#define IN_MAX   (512u << 10)
#define OUT_MAX  (4u << 20)
#define READ_MAX (256u << 10)
#define MTU_MAX  65521 /* libslirp's */

struct timer {
    SlirpTimerId id;
    void *arg;
    int64_t deadline; /* ns */
};

struct helper {
    const struct uplink_config *config;
    Slirp *slirp;
    struct relay *relay;
    struct datagrams *datagrams;
    int link;
    bool icmp, ipv6;
    struct buf in, out;
    struct pollfd *fds;
    size_t fd_count, fd_cap;
    struct timer timers[SLIRP_TIMER_NUM];
};

/* ---- frames to the switch ---- */

static void put_frame(struct helper *h, const void *head, size_t head_size, const void *body,
                      size_t body_size)
{
    uint8_t length[4];
    size_t size = head_size + body_size;
    if (h->out.len + sizeof(length) + size > OUT_MAX)
        return;
    put32(length, (uint32_t)size);
    buf_append(&h->out, length, sizeof(length));
    buf_append(&h->out, head, head_size);
    buf_append(&h->out, body, body_size);
}

/* False: the switch is gone. */
static bool flush(struct helper *h)
{
    while (h->out.len) {
        ssize_t n = send(h->link, buf_head(&h->out), h->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        buf_consume(&h->out, (size_t)n);
    }
    return true;
}

static void send_answer(const uint8_t *payload, size_t size, void *arg)
{
    uint8_t head[ETHERNET_SIZE] = {0};
    put16(head + 12, DNS_RELAY_ETHERTYPE);
    put_frame(arg, head, sizeof(head), payload, size);
}

static void send_datagram(struct frame f, void *arg)
{
    put_frame(arg, f.data, f.len, NULL, 0);
    frame_unref(f);
}

/* ---- libslirp's callbacks ---- */

static ssize_t on_send_packet(const void *data, size_t size, void *arg)
{
    put_frame(arg, data, size, NULL, 0);
    return (ssize_t)size;
}

static void on_guest_error(const char *message, void *arg)
{
    (void)message, (void)arg; /* guests may misbehave as they like */
}

static int64_t on_clock(void *arg)
{
    (void)arg;
    return clock_monotonic_ns();
}

static void *on_timer_new(SlirpTimerId id, void *timer_arg, void *arg)
{
    struct helper *h = arg;
    h->timers[id] = (struct timer){.id = id, .arg = timer_arg, .deadline = INT64_MAX};
    return &h->timers[id];
}

static void on_timer_free(void *timer, void *arg)
{
    (void)arg;
    ((struct timer *)timer)->deadline = INT64_MAX;
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *arg)
{
    (void)arg;
    ((struct timer *)timer)->deadline = expire_ms * NS_PER_MS;
}

static void ignore_fd(int fd, void *arg)
{
    (void)fd, (void)arg;
}

static void ignore(void *arg)
{
    (void)arg;
}

static const SlirpCb callbacks = {
    .send_packet = on_send_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new_opaque = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = ignore_fd,
    .unregister_poll_fd = ignore_fd,
    .notify = ignore,
};

static int add_poll(int fd, int events, void *arg)
{
    struct helper *h = arg;
    if (h->fd_count == h->fd_cap) {
        h->fd_cap = h->fd_cap ? h->fd_cap * 2 : 256;
        h->fds = xreallocarray(h->fds, h->fd_cap, sizeof(*h->fds));
    }
    short wanted =
        (short)((events & SLIRP_POLL_IN ? POLLIN : 0) | (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                (events & SLIRP_POLL_PRI ? POLLPRI : 0));
    h->fds[h->fd_count] = (struct pollfd){.fd = fd, .events = wanted};
    return (int)h->fd_count++;
}

static int get_revents(int index, void *arg)
{
    short r = ((struct helper *)arg)->fds[index].revents;
    return (r & POLLIN ? SLIRP_POLL_IN : 0) | (r & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (r & POLLPRI ? SLIRP_POLL_PRI : 0) | (r & POLLERR ? SLIRP_POLL_ERR : 0) |
           (r & POLLHUP ? SLIRP_POLL_HUP : 0);
}

/* ---- frames from the switch ---- */

/* Without ping sockets libslirp would turn an echo request into a datagram to the UDP echo port. */
static bool is_echo_to_drop(const struct helper *h, const uint8_t *frame, size_t size)
{
    return !h->icmp && size > ETHERNET_SIZE + IP4_SIZE && get16(frame + 12) == ETHERTYPE_IP4 &&
           frame[ETHERNET_SIZE + 9] == PROTOCOL_ICMP4 &&
           get32(frame + ETHERNET_SIZE + 16) != h->config->gateway4;
}

static void take_frame(struct helper *h, const uint8_t *frame, size_t size, int64_t now)
{
    if (get16(frame + 12) == DNS_RELAY_ETHERTYPE)
        relay_ask(h->relay, frame + ETHERNET_SIZE, size - ETHERNET_SIZE, now);
    else if (!datagrams_answer(h->datagrams, frame, size, now) && !is_echo_to_drop(h, frame, size))
        slirp_input(h->slirp, frame, (int)size);
}

/* False: the link is over. */
static bool take_frames(struct helper *h, int64_t now)
{
    uint8_t *to = buf_reserve(&h->in, READ_MAX);
    ssize_t n = to ? recv(h->link, to, READ_MAX, MSG_DONTWAIT) : -1;
    if (n < 0 && to && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    buf_commit(&h->in, (size_t)n);
    while (h->in.len >= FRAME_PREFIX) {
        size_t size = get32(buf_head(&h->in));
        if (size < FRAME_MIN || size > FRAME_MAX)
            return false;
        if (h->in.len < FRAME_PREFIX + size)
            break;
        take_frame(h, buf_head(&h->in) + FRAME_PREFIX, size, now);
        buf_consume(&h->in, FRAME_PREFIX + size);
    }
    return true;
}

static void run_timers(struct helper *h, int64_t now)
{
    for (size_t i = 0; i < ARRAY_SIZE(h->timers); i++) {
        struct timer *t = &h->timers[i];
        if (t->deadline > now)
            continue;
        t->deadline = INT64_MAX;
        slirp_handle_timer(h->slirp, t->id, t->arg);
    }
}

static void serve(struct helper *h)
{
    bool alive = true;
    while (alive) {
        struct pollfd own[RELAY_POLL_MAX + UPLINK_FORWARDS_MAX];
        uint32_t timeout = UINT32_MAX;
        int64_t deadline = INT64_MAX;
        h->fd_count = 0;
        add_poll(h->link, SLIRP_POLL_IN | (h->out.len ? SLIRP_POLL_OUT : 0), h);
        slirp_pollfds_fill(h->slirp, &timeout, add_poll, h);
        size_t slirp_count = h->fd_count, relay_count = relay_poll_fill(h->relay, own, &deadline);
        size_t own_count = relay_count + datagrams_poll_fill(h->datagrams, own + relay_count);
        for (size_t i = 0; i < own_count; i++) {
            int index = add_poll(own[i].fd, 0, h);
            h->fds[index].events = own[i].events;
        }
        for (size_t i = 0; i < ARRAY_SIZE(h->timers); i++)
            deadline = h->timers[i].deadline < deadline ? h->timers[i].deadline : deadline;
        int wait = deadline_poll_ms(deadline);
        if (timeout != UINT32_MAX && (wait < 0 || (int64_t)timeout < wait))
            wait = timeout > 60000 ? 60000 : (int)timeout;
        int ready = poll(h->fds, h->fd_count, wait);
        slirp_pollfds_poll(h->slirp, ready < 0, get_revents, h);
        int64_t now = clock_monotonic_ns();
        relay_poll_done(h->relay, h->fds + slirp_count, relay_count, now);
        datagrams_poll_done(h->datagrams, h->fds + slirp_count + relay_count,
                            own_count - relay_count, now);
        run_timers(h, now);
        if (h->fds[0].revents)
            alive = take_frames(h, now);
        alive = flush(h) && alive;
    }
}

/* ---- setting up ---- */

static bool has_ipv6_route(void)
{
    struct sockaddr_in6 far = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET6, "2001:4860:4860::8888",
              &far.sin6_addr); /* connect(2) only looks the route up */
    return fd >= 0 && connect(fd, (struct sockaddr *)&far, sizeof(far)) == 0;
}

static bool has_ping_sockets(void)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
    return fd >= 0;
}

static void start_slirp(struct helper *h)
{
    const struct uplink_config *c = h->config;
    uint32_t mtu = c->mtu < MTU_MAX ? c->mtu : MTU_MAX;
    SlirpConfig config = {
        .version = 4,
        .in_enabled = true,
        .vnetwork.s_addr = htonl(c->net4),
        .vnetmask.s_addr = htonl(UINT32_MAX << (32 - c->prefix4)),
        .vhost.s_addr = htonl(c->gateway4),
        .vdhcp_start.s_addr = htonl(c->gateway4 + 2), /* both unused, but must lie in the network */
        .vnameserver.s_addr = htonl(c->gateway4 + 1),
        .in6_enabled = c->has6 && h->ipv6,
        .vprefix_len = 64,
        .if_mtu = mtu,
        .if_mru = mtu,
        .disable_host_loopback = !c->host_loopback,
        .disable_dns = true,
        .disable_dhcp = true,
    };
    memcpy(&config.vprefix_addr6, c->net6, 16);
    memcpy(&config.vhost6, c->gateway6, 16);
    memcpy(&config.vnameserver6, c->gateway6, 16);
    config.vnameserver6.s6_addr[15] ^= 2;
    h->slirp = slirp_new(&config, &callbacks, h);
}

/* libslirp doesn't tell which port it got. It opens one socket, which gets the lowest free number.
 */
static int forward(struct helper *h, const struct uplink_port *p, uint16_t *ret_port, struct err *e)
{
    struct sockaddr_storage host, guest;
    socklen_t host_len = uplink_address(&host, p->bind, p->host_port);
    socklen_t guest_len = uplink_address(&guest, p->guest, p->guest_port);
    if (!host_len || host_len != guest_len)
        return err_set(e, EINVAL, "forward: `%s` is not an address to listen on", p->bind);
    if (p->udp)
        return datagrams_forward(h->datagrams, p, ret_port, e);
    int lowest = dup(STDERR_FILENO);
    close(lowest);
    if (slirp_add_hostxfwd(h->slirp, (struct sockaddr *)&host, host_len, (struct sockaddr *)&guest,
                           guest_len, 0) < 0)
        return err_errno(e, "forward: tcp port %u on %s", p->host_port, p->bind);
    host_len = sizeof(host);
    if (getsockname(lowest, (struct sockaddr *)&host, &host_len) < 0)
        return err_errno(e, "forward: which port?");
    *ret_port = uplink_address_port(&host);
    return 0;
}

static void pack_answer(struct packer *p, const struct helper *h, const struct uplink_number *ports,
                        size_t count)
{
    struct uplink_state state = {.icmp = h->icmp, .ipv6 = h->ipv6 && h->config->has6};
    struct uplink_text resolvers[UPLINK_RESOLVERS_MAX];
    size_t resolver_count = relay_resolver_count(h->relay);
    for (size_t i = 0; i < resolver_count; i++)
        relay_resolver_text(h->relay, i, &resolvers[i]);
    pack_bool(p, true);
    record_pack(p, &record_uplink_state, &state);
    records_pack(p, &record_uplink_text, resolvers, resolver_count);
    records_pack(p, &record_uplink_number, ports, count);
}

int uplink_help(const struct uplink_config *config, const struct uplink_port *ports, size_t count,
                int link, int answer)
{
    struct helper h = {
        .config = config, .link = link, .in = BUF_INIT(IN_MAX), .out = BUF_INIT(OUT_MAX)};
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf reply = BUF_INIT(UPLINK_MESSAGE_MAX);
    struct packer p = {.to = &reply};
    struct uplink_number numbers[UPLINK_FORWARDS_MAX] = {{0}};
    h.icmp = has_ping_sockets();
    h.ipv6 = has_ipv6_route();
    h.timers[0].deadline = INT64_MAX;
    h.relay = relay_new("/etc/resolv.conf", send_answer, &h);
    h.datagrams = datagrams_new(config, send_datagram, &h);
    start_slirp(&h);
    bool ok = h.slirp;
    if (!ok)
        err_set(&e, EIO, "slirp_new failed");
    for (size_t i = 0; i < count && ok; i++)
        ok = forward(&h, &ports[i], &numbers[i].number, &e) == 0;
    ok = ok && lockdown_helper(&e) == 0;
    if (ok) {
        pack_answer(&p, &h, numbers, count);
    } else {
        pack_bool(&p, false);
        pack_int(&p, e.code);
        pack_str(&p, e.message);
    }
    if (write_full(answer, buf_head(&reply), reply.len) < 0 || !ok)
        return 1;
    serve(&h);
    slirp_cleanup(h.slirp);
    relay_free(h.relay);
    datagrams_free(h.datagrams);
    free(h.fds);
    buf_done(&h.in);
    buf_done(&h.out);
    return 0;
}
