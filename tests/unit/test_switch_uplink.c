/* The uplink, from the broker to libslirp and back, with this test as the guest `a` and as the
 * servers on the host. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "network/network.h"
#include "switch/bytes.h"
#include "switch/packet.h"
#include "uplink/broker.h"
#include "uplink/relay.h"

struct lab {
    struct loop *loop;
    struct network *n;
    struct bridge_info lan;
    struct member_info a;
    int broker, fd;
    pid_t broker_pid;
    uint8_t gateway_mac[6];
    struct ip own, gateway;
};

static struct ip ip4_text(const char *text)
{
    struct in_addr in;
    inet_pton(AF_INET, text, &in);
    return ip4_of(ntohl(in.s_addr));
}

static int setup(void **state)
{
    struct lab *l = calloc(1, sizeof(*l));
    l->broker = uplink_broker_start(&l->broker_pid, NULL);
    assert_true(l->broker >= 0);
    l->loop = loop_new();
    l->n = network_start(l->loop, uplink_broker_connect(l->broker, NULL), NULL);
    assert_non_null(l->n);
    assert_int_equal(network_bridge_new(l->n, "lan",
                                        &(struct bridge_options){.subnet4 = "10.9.0.0/24"}, &l->lan,
                                        NULL),
                     0);
    assert_int_equal(
        network_attach(l->n, l->lan.id, &(struct member_request){"a", 1}, 1, &l->a, NULL), 0);
    assert_int_equal(network_connect(l->n, l->lan.id, "a", &l->fd, NULL), 0);
    struct timeval patience = {.tv_sec = 20};
    setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    l->own = ip4_text("10.9.0.10");
    l->gateway = ip4_text("10.9.0.1");
    memset(l->gateway_mac, 0xff, 6); /* a broadcast reaches it, too; routed packets need its own */
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;
    network_free(l->n);
    loop_free(l->loop);
    close(l->fd);
    close(l->broker);
    waitpid(l->broker_pid, NULL, 0);
    free(l);
    return 0;
}

static void send_frame(struct lab *l, struct frame f)
{
    assert_int_equal(write_full(l->fd, f.data - FRAME_PREFIX, f.len + FRAME_PREFIX), 0);
    frame_unref(f);
}

static void send_arp(struct lab *l, uint16_t operation, const uint8_t *to, uint32_t target)
{
    struct frame f = frame_new(42);
    memset(f.data, 0, 42);
    ethernet_fill(f, to, l->a.mac);
    memcpy(f.data + 12, "\x08\x06\x00\x01\x08\x00\x06\x04", 8);
    put16(f.data + 20, operation);
    memcpy(f.data + 22, l->a.mac, 6);
    memcpy(f.data + 28, l->own.bytes, 4);
    put32(f.data + 38, target);
    send_frame(l, f);
}

/* The next frame; the gateway's questions are answered on the way. */
static struct frame receive(struct lab *l)
{
    for (;;) {
        uint8_t header[4];
        assert_int_equal(read_full(l->fd, header, 4), 4);
        struct frame f = frame_new(get32(header));
        assert_int_equal(read_full(l->fd, f.data, f.len), f.len);
        bool question = get16(f.data + 12) == ETHERTYPE_ARP && get16(f.data + 20) == 1;
        if (!question)
            return f;
        send_arp(l, 2, f.data + 6, get32(f.data + 28));
        frame_unref(f);
    }
}

static void find_gateway(struct lab *l)
{
    send_arp(l, 1, l->gateway_mac, 0x0a090001);
    struct frame f = receive(l);
    memcpy(l->gateway_mac, f.data + 6, 6);
    frame_unref(f);
}

static void send_udp(struct lab *l, const struct ip *to, uint16_t port, const char *text)
{
    uint8_t *udp;
    struct frame f = packet_new(&l->own, to, PROTOCOL_UDP, 8 + strlen(text), &udp);
    put16(udp, 4000);
    put16(udp + 2, port);
    put16(udp + 4, (uint16_t)(8 + strlen(text)));
    memcpy(udp + 8, text, strlen(text));
    packet_seal(f);
    ethernet_fill(f, l->gateway_mac, l->a.mac);
    send_frame(l, f);
}

static struct frame receive_packet(struct lab *l, struct packet *p)
{
    struct frame f = receive(l);
    assert_true(packet_parse(f.data + ETHERNET_SIZE, f.len - ETHERNET_SIZE, p));
    assert_int_equal(packet_checksum(p), 0);
    return f;
}

static int host_socket(int type, const char *address, uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &in.sin_addr);
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
        close(fd);
        return -1;
    }
    if (type == SOCK_STREAM)
        listen(fd, 4);
    getsockname(fd, (struct sockaddr *)&in, &size);
    *port = ntohs(in.sin_port);
    return fd;
}

static void udp_to_the_host_and_back(void **state)
{
    struct lab *l = *state;
    struct packet p;
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    char text[16];
    uint16_t port = 0;
    _cleanup_close_ int server = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
    assert_int_equal(network_enable_uplink(l->n, l->lan.id,
                                           &(struct uplink_options){.host_loopback = true}, NULL),
                     0);
    find_gateway(l);
    send_udp(l, &l->gateway, port, "ping");
    assert_int_equal(recvfrom(server, text, sizeof(text), 0, (struct sockaddr *)&from, &size), 4);
    assert_memory_equal(text, "ping", 4);
    sendto(server, "pong!", 5, 0, (struct sockaddr *)&from, size);
    struct frame f = receive_packet(l, &p);
    assert_true(ip_equal(&p.source, &l->gateway));
    assert_int_equal(get16(p.payload), port);
    assert_int_equal(get16(p.payload + 2), 4000);
    assert_memory_equal(p.payload + 8, "pong!", 5);
    frame_unref(f);
    /* services come before the host */
    send_udp(l, &l->gateway, 53, "nonsense");
    assert_int_equal(network_disable_uplink(l->n, l->lan.id, NULL), 0);
    assert_null(network_uplink(l->n, l->lan.id));
    send_udp(l, &l->gateway, port, "ping");
    f = receive_packet(l, &p);
    assert_int_equal(p.protocol, PROTOCOL_ICMP4);
    assert_int_equal(p.payload[0], 3);
    frame_unref(f);
}

static void the_hosts_loopback_is_closed_by_default(void **state)
{
    struct lab *l = *state;
    struct packet p;
    uint16_t port = 0;
    char text[16];
    _cleanup_close_ int server = host_socket(SOCK_DGRAM, "127.0.0.1", &port);
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &(struct uplink_options){0}, NULL), 0);
    find_gateway(l);
    send_udp(l, &l->gateway, port, "ping");
    uint8_t icmp[8] = {8}, *at; /* when the echo is back, the datagram has been dealt with */
    struct frame f = packet_new(&l->own, &l->gateway, PROTOCOL_ICMP4, 8, &at);
    memcpy(at, icmp, 8);
    packet_seal(f);
    ethernet_fill(f, l->gateway_mac, l->a.mac);
    send_frame(l, f);
    f = receive_packet(l, &p);
    assert_int_equal(p.protocol, PROTOCOL_ICMP4);
    frame_unref(f);
    assert_int_equal(recv(server, text, sizeof(text), MSG_DONTWAIT), -1);
}

static void ports_are_forwarded(void **state)
{
    struct lab *l = *state;
    struct packet p;
    struct uplink_forward forward = {.guest = 8080, .member = "a"};
    struct uplink_options options = {.forwards = &forward, .forward_count = 1};
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &options, NULL), 0);
    const struct uplink_info *info = network_uplink(l->n, l->lan.id);
    assert_int_equal(info->forward_count, 1);
    assert_true(info->forwards[0].host > 0);
    assert_string_equal(info->forwards[0].bind, "127.0.0.1");
    assert_true(info->dns_count > 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(info->forwards[0].host),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    _cleanup_close_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    struct frame f = receive_packet(l, &p);
    assert_int_equal(p.protocol, PROTOCOL_TCP);
    assert_int_equal(p.payload[13], 2); /* SYN */
    assert_int_equal(get16(p.payload + 2), 8080);
    assert_true(ip_equal(&p.destination, &l->own));
    assert_true(ip_equal(&p.source, &l->gateway));
    frame_unref(f);
    /* the same port again is in use, and nothing has changed */
    struct bridge_info other;
    struct uplink_forward again = {.host = info->forwards[0].host, .guest = 1, .member = "b"};
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(network_bridge_new(l->n, "other", &(struct bridge_options){0}, &other, NULL),
                     0);
    options.forwards = &again;
    assert_int_equal(network_enable_uplink(l->n, other.id, &options, &e), -1);
    assert_string_equal(e.message, "forward: `b` is not a member of bridge `other`");
    assert_int_equal(
        network_attach(l->n, other.id, &(struct member_request){"b", 2}, 1, NULL, NULL), 0);
    assert_int_equal(network_enable_uplink(l->n, other.id, &options, &e), -1);
    char message[128];
    snprintf(message, sizeof(message), "forward: tcp port %u on 127.0.0.1: Address already in use",
             again.host);
    assert_string_equal(e.message, message);
    assert_null(network_uplink(l->n, other.id));
}

/* With the host's loopback closed to guests. */
static void udp_ports_are_forwarded(void **state)
{
    struct lab *l = *state;
    struct packet p;
    char text[16];
    struct uplink_forward forward = {.guest = 4000, .member = "a", .udp = true};
    struct uplink_options options = {.forwards = &forward, .forward_count = 1};
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &options, NULL), 0);
    find_gateway(l);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(network_uplink(l->n, l->lan.id)->forwards[0].host),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t ports[2] = {0}, seen[2];
    int clients[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = host_socket(SOCK_DGRAM, "127.0.0.1", &ports[i]);
        assert_int_equal(sendto(clients[i], "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
        struct frame f = receive_packet(l, &p);
        assert_true(ip_equal(&p.source, &l->gateway));
        assert_true(ip_equal(&p.destination, &l->own));
        assert_int_equal(get16(p.payload + 2), 4000);
        assert_int_equal(p.payload_size, 8 + 5);
        seen[i] = get16(p.payload);
        frame_unref(f);
    }
    assert_int_not_equal(seen[0], seen[1]);
    send_udp(l, &l->gateway, (uint16_t)(seen[1] + 1), "nobody");
    send_udp(l, &l->gateway, ports[0], "not by its own number");
    send_udp(l, &l->gateway, seen[1], "second");
    send_udp(l, &l->gateway, seen[0], "first");
    struct pollfd patience = {.fd = clients[0], .events = POLLIN};
    assert_int_equal(poll(&patience, 1, 20000), 1);
    assert_int_equal(recv(clients[0], text, sizeof(text), 0), 5);
    assert_memory_equal(text, "first", 5);
    assert_int_equal(recv(clients[0], text, sizeof(text), MSG_DONTWAIT), -1);
    assert_int_equal(recv(clients[1], text, sizeof(text), MSG_DONTWAIT), 6);
    assert_memory_equal(text, "second", 6);
    close(clients[0]);
    close(clients[1]);
}

static void a_dead_helper_is_noticed(void **state)
{
    struct lab *l = *state;
    _cleanup_err_ struct err e = ERR_INIT;
    char path[64];
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &(struct uplink_options){0}, NULL), 0);
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &(struct uplink_options){0}, &e), -1);
    assert_string_equal(e.message, "the bridge has an uplink already");
    _cleanup_buf_ struct buf children = BUF_INIT(4096);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", l->broker_pid, l->broker_pid);
    assert_int_equal(file_read(path, &children, NULL), 0);
    _cleanup_free_ char *text = buf_steal_str(&children);
    assert_int_equal(kill(atoi(text), SIGKILL), 0);
    while (!network_uplink(l->n, l->lan.id)->failed)
        assert_int_equal(network_bridge_info(l->n, l->lan.id, &l->lan, NULL), 0);
    assert_int_equal(network_disable_uplink(l->n, l->lan.id, NULL), 0);
    assert_int_equal(network_enable_uplink(l->n, l->lan.id, &(struct uplink_options){0}, NULL), 0);
}

static void without_a_broker(void **state)
{
    (void)state;
    _cleanup_err_ struct err e = ERR_INIT;
    struct bridge_info info;
    struct loop *loop = loop_new();
    struct network *n = network_start(loop, -1, NULL);
    assert_int_equal(network_bridge_new(n, "lan", &(struct bridge_options){0}, &info, NULL), 0);
    assert_int_equal(network_enable_uplink(n, info.id, &(struct uplink_options){0}, &e), -1);
    assert_string_equal(e.message, "there is no uplink broker");
    assert_int_equal(network_disable_uplink(n, info.id, NULL), 0);
    network_free(n);
    loop_free(loop);
}

/* ---- the DNS relay ---- */

static uint8_t answered[4096];
static size_t answered_size;

static void on_answer(const uint8_t *payload, size_t size, void *arg)
{
    (void)arg;
    memcpy(answered, payload, size);
    answered_size = size;
}

static void pump(struct relay *r, int64_t *now)
{
    struct pollfd fds[RELAY_POLL_MAX];
    int64_t deadline = INT64_MAX;
    size_t n = relay_poll_fill(r, fds, &deadline);
    if (poll(fds, n, n ? 100 : 0) == 0)
        *now += NS_PER_S;
    relay_poll_done(r, fds, n, *now);
}

static void questions_go_to_the_resolvers(void **state)
{
    (void)state;
    char path[] = "/tmp/provium-unit-XXXXXX", text[512];
    uint16_t port = 53;
    int64_t now = 0;
    int udp = host_socket(SOCK_DGRAM, "127.53.0.2", &port),
        tcp = host_socket(SOCK_STREAM, "127.53.0.2", &port);
    if (udp < 0 || tcp < 0)
        skip(); /* port 53 is for the privileged */
    _cleanup_close_ int file = mkstemp(path);
    static const char conf[] =
        "# comment\nnameserver 127.53.0.1\nnameserver\t127.53.0.2 \nnameserver bad\nsearch x\n";
    assert_int_equal(write_full(file, conf, sizeof(conf) - 1), 0);
    struct relay *r = relay_new(path, on_answer, NULL);
    unlink(path);
    assert_int_equal(relay_resolver_count(r), 2);
    static const uint8_t question[] =
        "\x00\x07\x00\x00\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01";
    relay_ask(r, question, sizeof(question) - 1,
              now); /* nobody at the first: refused at once, or silent */
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t got;
    while ((got = recvfrom(udp, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from,
                           &size)) < 0)
        pump(r, &now);
    assert_int_equal(got, sizeof(question) - 1 - 4);
    text[2] |= (char)0x80;
    sendto(udp, "\x99\x99 not the answer", 14, 0, (struct sockaddr *)&from, size);
    sendto(udp, text, (size_t)got, 0, (struct sockaddr *)&from, size);
    while (!answered_size)
        pump(r, &now);
    assert_memory_equal(answered, "\x00\x07\x00\x00\x12\x34\x81", 7);

    uint8_t by_tcp[sizeof(question)];
    memcpy(by_tcp, question, sizeof(question));
    by_tcp[2] = 1;
    answered_size = 0;
    fcntl(tcp, F_SETFL, O_NONBLOCK);
    relay_ask(r, by_tcp, sizeof(question) - 1, now);
    int peer;
    while ((peer = accept(tcp, NULL, NULL)) < 0)
        pump(r, &now);
    fcntl(peer, F_SETFL, O_NONBLOCK);
    while ((got = recv(peer, text, sizeof(text), MSG_DONTWAIT)) < 0)
        pump(r, &now);
    assert_int_equal(get16((uint8_t *)text), got - 2);
    assert_int_equal(write_full(peer, text, 5), 0);
    assert_int_equal(write_full(peer, text + 5, (size_t)got - 5), 0);
    while (!answered_size)
        pump(r, &now);
    assert_int_equal(answered_size, got - 2 + 4);
    close(peer);
    close(tcp);
    close(udp);
    answered_size = 0;
    relay_ask(r, question, sizeof(question) - 1, now); /* nobody at all: dropped in the end */
    struct pollfd fds[RELAY_POLL_MAX];
    int64_t deadline = INT64_MAX;
    while (relay_poll_fill(r, fds, &deadline))
        pump(r, &now);
    assert_int_equal(answered_size, 0);
    relay_free(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(udp_to_the_host_and_back),
        TEST(the_hosts_loopback_is_closed_by_default),
        TEST(ports_are_forwarded),
        TEST(udp_ports_are_forwarded),
        TEST(a_dead_helper_is_noticed),
        cmocka_unit_test(without_a_broker),
        cmocka_unit_test(questions_go_to_the_resolvers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
