/* libslirp could forward UDP, but with the host's loopback closed to guests it lets no answer out, as a client on the
 * loopback appears to the guest with the gateway's address.
 *
 * Each client of a forwarded port has a place in a table, and the guest sees its datagrams come from the gateway's port
 * FIRST_PORT + place. What the guest sends from the forwarded port to that one goes to the client; nothing else does. The
 * client not heard of for longest loses its place. */
#include "uplink/datagrams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "switch/bytes.h"
#include "switch/packet.h"

#define CLIENTS_MAX  1024
#define FIRST_PORT   40000
#define READS_MAX    64 /* of one port, per round */
#define DATAGRAM_MAX 65507

struct forward {
    int fd;
    struct ip guest;
    uint16_t guest_port;
};

struct client {
    size_t forward;
    struct sockaddr_storage address;
    socklen_t address_size; /* 0: a free place */
    int64_t used;
};

struct datagrams {
    const struct uplink_config *config;
    void (*send)(struct frame f, void *arg);
    void *arg;
    struct forward forwards[UPLINK_FORWARDS_MAX];
    size_t forward_count;
    struct client clients[CLIENTS_MAX];
};

struct datagrams *datagrams_new(const struct uplink_config *config,
                                void (*send)(struct frame f, void *arg), void *arg)
{
    struct datagrams *d = xnew0(struct datagrams);
    d->config = config;
    d->send = send;
    d->arg = arg;
    return d;
}

void datagrams_free(struct datagrams *d)
{
    for (size_t i = 0; i < d->forward_count; i++)
        close(d->forwards[i].fd);
    free(d);
}

static struct ip address_ip(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return ip6_of(((const struct sockaddr_in6 *)address)->sin6_addr.s6_addr);
    return ip4_of(ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr));
}

static struct ip gateway_ip(const struct datagrams *d, uint8_t family)
{
    return family == 6 ? ip6_of(d->config->gateway6) : ip4_of(d->config->gateway4);
}

int datagrams_forward(struct datagrams *d, const struct uplink_port *p, uint16_t *ret_port,
                      struct err *e)
{
    struct sockaddr_storage host, guest;
    socklen_t size = uplink_address(&host, p->bind, p->host_port);
    uplink_address(&guest, p->guest, p->guest_port);
    _cleanup_close_ int fd =
        socket(host.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    if (fd < 0 || bind(fd, (struct sockaddr *)&host, size) < 0 ||
        getsockname(fd, (struct sockaddr *)&host, &size) < 0)
        return err_errno(e, "forward: udp port %u on %s", p->host_port, p->bind);
    *ret_port = uplink_address_port(&host);
    d->forwards[d->forward_count++] = (struct forward){
        .fd = steal_fd(&fd), .guest = address_ip(&guest), .guest_port = p->guest_port};
    return 0;
}

size_t datagrams_poll_fill(const struct datagrams *d, struct pollfd *fds)
{
    for (size_t i = 0; i < d->forward_count; i++)
        fds[i] = (struct pollfd){.fd = d->forwards[i].fd, .events = POLLIN};
    return d->forward_count;
}

/* The place of a client, a new one if need be. */
static struct client *find_client(struct datagrams *d, size_t forward,
                                  const struct sockaddr_storage *address, socklen_t size)
{
    struct client *oldest = &d->clients[0];
    for (struct client *c = d->clients; c < d->clients + CLIENTS_MAX; c++) {
        if (c->forward == forward && c->address_size == size &&
            !memcmp(&c->address, address, size))
            return c;
        if (c->used < oldest->used)
            oldest = c;
    }
    *oldest = (struct client){.forward = forward, .address = *address, .address_size = size};
    return oldest;
}

static void pass_to_guest(struct datagrams *d, const struct forward *f, uint16_t port,
                          const uint8_t *bytes, size_t size)
{
    uint8_t *udp;
    struct ip from = gateway_ip(d, f->guest.family);
    size_t header = f->guest.family == 6 ? IP6_SIZE : IP4_SIZE;
    if (header + UDP_SIZE + size > d->config->mtu)
        return;
    struct frame frame = packet_new(&from, &f->guest, PROTOCOL_UDP, UDP_SIZE + size, &udp);
    memset(frame.data, 0, 2 * MAC_SIZE); /* on the link they say nothing */
    put16(udp, port);
    put16(udp + 2, f->guest_port);
    put16(udp + 4, (uint16_t)(UDP_SIZE + size));
    memcpy(udp + UDP_SIZE, bytes, size);
    packet_seal(frame);
    d->send(frame, d->arg);
}

static void read_port(struct datagrams *d, size_t forward, int64_t now)
{
    static uint8_t bytes[DATAGRAM_MAX];
    struct sockaddr_storage from;
    for (int i = 0; i < READS_MAX; i++) {
        socklen_t size = sizeof(from);
        memset(&from, 0, sizeof(from));
        ssize_t n = recvfrom(d->forwards[forward].fd, bytes, sizeof(bytes), MSG_DONTWAIT,
                             (struct sockaddr *)&from, &size);
        if (n < 0)
            return;
        struct client *c = find_client(d, forward, &from, size);
        c->used = now;
        pass_to_guest(d, &d->forwards[forward], (uint16_t)(FIRST_PORT + (c - d->clients)), bytes,
                      (size_t)n);
    }
}

void datagrams_poll_done(struct datagrams *d, const struct pollfd *fds, size_t count, int64_t now)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i].revents)
            read_port(d, i, now);
}

bool datagrams_answer(struct datagrams *d, const uint8_t *frame, size_t size, int64_t now)
{
    struct packet p;
    if (!d->forward_count || !packet_parse(frame + ETHERNET_SIZE, size - ETHERNET_SIZE, &p) ||
        p.protocol != PROTOCOL_UDP || p.fragment || p.payload_size < UDP_SIZE ||
        get16(p.payload + 4) < UDP_SIZE || get16(p.payload + 4) > p.payload_size)
        return false;
    struct ip gateway = gateway_ip(d, p.family);
    unsigned place = get16(p.payload + 2) - FIRST_PORT;
    if (!ip_equal(&p.destination, &gateway) || place >= CLIENTS_MAX)
        return false;
    struct client *c = &d->clients[place];
    const struct forward *f = &d->forwards[c->forward];
    if (!c->address_size || f->guest_port != get16(p.payload) || !ip_equal(&f->guest, &p.source))
        return false;
    c->used = now;
    sendto(f->fd, p.payload + UDP_SIZE, get16(p.payload + 4) - UDP_SIZE, MSG_DONTWAIT | MSG_NOSIGNAL,
           (struct sockaddr *)&c->address, c->address_size);
    return true;
}
