#include "switch_lab.h"

#include "switch/dns.h"
#include "switch/dnsproxy.h"
#include "switch/plan.h"

struct lab {
    struct netswitch *s;
    struct bridge *lan, *net;
    struct port *web, *db, *other;
};

static struct port *member(struct bridge *b, const char *name, uint32_t vm)
{
    assert_int_equal(bridge_attach(b, &(struct member_request){name, vm}, 1, NULL, NULL), 0);
    struct port *p = bridge_member(b, name, NULL);
    port_connect(p, p);
    return p;
}

static int setup(void **state)
{
    struct lab *l = xnew0(struct lab);
    l->s = switch_new(1);
    l->lan = bridge_new(
        l->s, "lan", &(struct bridge_options){.subnet4 = "10.1.0.0/24", .subnet6 = "fd00:1::/64"},
        NULL);
    l->net = bridge_new(l->s, "net",
                        &(struct bridge_options){.subnet4 = "10.2.0.0/24", .mtu = 1000}, NULL);
    l->web = member(l->lan, "web", 1);
    l->db = member(l->lan, "db", 2);
    member(l->net, "web", 1);
    l->other = member(l->net, "other", 3);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;
    switch_free(l->s);
    free(l);
    return 0;
}

static size_t make_query(uint8_t *to, const char *name, uint16_t type)
{
    size_t at = 12;
    memset(to, 0, 12);
    put16(to, 0x1234);
    put16(to + 2, 0x0100);
    put16(to + 4, 1);
    while (*name) {
        size_t label = strcspn(name, ".");
        to[at++] = (uint8_t)label;
        memcpy(to + at, name, label);
        at += label;
        name += label + (name[label] == '.');
    }
    to[at++] = 0;
    put16(to + at, type);
    put16(to + at + 2, 1);
    return at + 4;
}

/* rcode, or -1 for "not ours"; the first record's data goes to `data`. */
static int ask(const struct port *viewer, const char *name, uint16_t type, unsigned *ret_count,
               uint8_t *data)
{
    uint8_t query[512], answer[DNS_ANSWER_MAX];
    size_t question = make_query(query, name, type), size;
    enum dns_outcome outcome = dns_answer(viewer, query, question, answer, &size);
    if (outcome == DNS_UNKNOWN)
        return -1;
    assert_int_equal(outcome, DNS_ANSWERED);
    assert_int_equal(get16(answer), 0x1234);
    assert_true(get16(answer + 2) & 0x8000);
    *ret_count = get16(answer + 6);
    if (*ret_count) {
        assert_int_equal(get32(answer + question + 6), 0); /* TTL */
        memcpy(data, answer + question + 12, get16(answer + question + 10));
    }
    return answer[3] & 15;
}

static void names_are_those_of_the_hosts_file(void **state)
{
    struct lab *l = *state;
    uint8_t data[512];
    unsigned count;
    assert_int_equal(ask(l->web, "db.lan", 1, &count, data), 0);
    assert_int_equal(count, 1);
    assert_memory_equal(data, "\x0a\x01\x00\x0b", 4);
    assert_int_equal(ask(l->web, "DB.Lan", 28, &count, data), 0);
    assert_int_equal(count, 1);
    assert_int_equal(data[15], 11);
    assert_int_equal(ask(l->web, "web", 1, &count, data),
                     0); /* bare: the first bridge that both share */
    assert_memory_equal(data, "\x0a\x01\x00\x0a", 4);
    assert_int_equal(ask(l->web, "web.net", 1, &count, data), 0);
    assert_memory_equal(data, "\x0a\x02\x00\x0a", 4);
    assert_int_equal(ask(l->web, "other.net", 28, &count, data), 0); /* known, but without IPv6 */
    assert_int_equal(count, 0);
    assert_int_equal(ask(l->web, "db.lan", 16, &count, data), 0);
    assert_int_equal(count, 0);
    assert_int_equal(ask(l->db, "other.net", 1, &count, data), -1); /* db is not on that bridge */
    assert_int_equal(ask(l->db, "web", 1, &count, data), 0);
    assert_int_equal(ask(l->other, "web", 1, &count, data), 0);
    assert_memory_equal(data, "\x0a\x02\x00\x0a", 4);
    assert_int_equal(ask(l->web, "11.0.1.10.in-addr.arpa", 12, &count, data), 0);
    assert_memory_equal(data,
                        "\x02"
                        "db\x03"
                        "lan",
                        8);
    assert_int_equal(ask(l->web,
                         "b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa",
                         12, &count, data),
                     0);
    assert_memory_equal(data,
                        "\x02"
                        "db\x03"
                        "lan",
                        8);
    assert_int_equal(bridge_detach(l->lan, "db", NULL), 0);
    assert_int_equal(ask(l->web, "db.lan", 1, &count, data), -1);
}

static void plans_say_the_same(void **state)
{
    struct lab *l = *state;
    struct guest_plan plan;
    plan_make(l->s, 1, &plan);
    assert_string_equal(
        plan.hosts,
        "10.1.0.10 web.lan web\n10.1.0.11 db.lan db\n10.2.0.10 web.net\n10.2.0.11 other.net other\n"
        "fd00:1::a web.lan web\nfd00:1::b db.lan db\n");
    assert_string_equal(plan.resolv_conf, "search lan net\nnameserver 10.1.0.1\n");
    assert_int_equal(plan.nic_count, 2);
    assert_int_equal(plan.nics[0].route_count, 0);
    assert_int_equal(plan.nics[1].mtu, 1000);
    guest_plan_done(&plan);
    struct bridge *far = bridge_new(
        l->s, "far", &(struct bridge_options){.subnet4 = "10.3.0.0/24", .subnet6 = "fd00:3::/64"},
        NULL);
    struct bridge *both[2] = {far, l->net};
    assert_int_equal(bridge_route(l->lan, both, 2, NULL), 0);
    plan_make(l->s, 1, &plan); /* it is in `net` itself: no route there */
    assert_int_equal(plan.nics[0].route_count, 2);
    assert_string_equal(plan.nics[0].routes[0].destination, "10.3.0.0/24");
    assert_string_equal(plan.nics[0].routes[0].gateway, "10.1.0.1");
    assert_string_equal(plan.nics[0].routes[1].destination, "fd00:3::/64");
    guest_plan_done(&plan);
    bridge_uplink_start(l->net, false, l);
    plan_make(l->s, 1, &plan);
    assert_int_equal(plan.nics[1].route_count, 1);
    assert_string_equal(plan.nics[1].routes[0].destination, "0.0.0.0/0");
    assert_string_equal(plan.nics[1].routes[0].gateway, "10.2.0.1");
    assert_int_equal(plan.nics[0].route_count, 2);
    assert_string_equal(plan.resolv_conf, "search lan net\nnameserver 10.2.0.1\n");
    guest_plan_done(&plan);
}

static void malformed_queries(void **state)
{
    struct lab *l = *state;
    uint8_t query[512], answer[DNS_ANSWER_MAX];
    size_t question = make_query(query, "db.lan", 1), size;
    assert_int_equal(dns_answer(l->web, query, 11, answer, &size), DNS_DROP);
    for (size_t cut = 12; cut < question; cut++) {
        assert_int_equal(dns_answer(l->web, query, cut, answer, &size), DNS_ANSWERED);
        assert_int_equal(answer[3] & 15, DNS_FORMERR);
    }
    query[2] = 0x81; /* a response */
    assert_int_equal(dns_answer(l->web, query, question, answer, &size), DNS_DROP);
    query[2] = 0x29; /* an update */
    assert_int_equal(dns_answer(l->web, query, question, answer, &size), DNS_ANSWERED);
    assert_int_equal(answer[3] & 15, DNS_NOTIMP);
    query[2] = 1;
    query[12] = 0xc0; /* a compressed question */
    assert_int_equal(dns_answer(l->web, query, question, answer, &size), DNS_ANSWERED);
    assert_int_equal(answer[3] & 15, DNS_FORMERR);
}

static void over_udp(void **state)
{
    struct lab *l = *state;
    struct packet p;
    uint8_t query[512];
    for (int family = 4; family <= 6; family += 2) {
        const struct ip *server = family == 4 ? &l->lan->gateway->ip4 : &l->lan->gateway->ip6;
        size_t size = make_query(query, "db", 1);
        lab_send_udp(l->web, server, 5353, 53, query, size, 0);
        struct frame f = lab_take_packet(l->web, &p);
        assert_int_equal(get16(p.payload), 53);
        assert_int_equal(get16(p.payload + 2), 5353);
        assert_int_equal(get16(p.payload + 8 + 6), 1);
        frame_unref(f);
        size = make_query(query, "example.com", 1);
        lab_send_udp(l->web, server, 5353, 53, query, size, 0);
        f = lab_take_packet(l->web, &p);
        assert_int_equal(p.payload[8 + 3] & 15, DNS_NXDOMAIN); /* at once */
        frame_unref(f);
    }
}

static void others_are_relayed(void **state)
{
    struct lab *l = *state;
    struct packet p;
    struct frame f;
    uint8_t query[512];
    size_t size = make_query(query, "example.com", 1);
    struct outlet *uplink = bridge_uplink_start(l->lan, false, l);
    lab_send_udp(l->web, &l->lan->gateway->ip4, 5353, 53, query, size, 0);
    assert_true(queue_pop(&uplink->queue, &f));
    assert_int_equal(get16(f.data + 12), DNS_RELAY_ETHERTYPE);
    assert_int_equal(f.data[16], 0);
    assert_memory_equal(f.data + 18, query, size);
    f.data[18 + 2] |= 0x80;
    bridge_uplink_input(l->lan, f, 1);
    bridge_uplink_input(l->lan, f, 1); /* a second answer has no question */
    frame_unref(f);
    f = lab_take_packet(l->web, &p);
    assert_memory_equal(p.payload + 8, "\x12\x34\x81\x00", 4);
    frame_unref(f);
    assert_int_equal(lab_drain(l->web), 0);
    lab_send_udp(l->web, &l->lan->gateway->ip4, 5353, 53, query, size, 2); /* never answered */
    switch_advance(l->s, 1 + 10 * NS_PER_S);
    assert_int_equal(lab_drain(l->web), 0);
    switch_advance(l->s, 2 + 10 * NS_PER_S);
    f = lab_take_packet(l->web, &p);
    assert_int_equal(p.payload[8 + 3] & 15, DNS_SERVFAIL);
    frame_unref(f);
    assert_int_equal(switch_next(l->s), INT64_MAX);
}

/* ---- TCP ---- */

struct tcp {
    struct port *p;
    uint32_t sequence, acknowledged;
    uint8_t flags;
    uint8_t data[4096];
    size_t size;
};

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static void tcp_send(struct tcp *t, uint8_t flags, const void *data, size_t size, int64_t now)
{
    uint8_t segment[20 + 1024] = {0};
    struct ip own = lab_ip_of(t->p, 4);
    put16(segment, 40000);
    put16(segment + 2, 53);
    put32(segment + 4, t->sequence);
    put32(segment + 8, t->acknowledged);
    segment[12] = 0x50;
    segment[13] = flags;
    put16(segment + 14, 60000);
    if (size)
        memcpy(segment + 20, data, size);
    lab_send_ip(t->p, &own, &t->p->bridge->gateway->ip4, PROTOCOL_TCP, segment, 20 + size, now);
    t->sequence += (uint32_t)size + !!(flags & (SYN | FIN));
}

/* Takes what waits, in order; acknowledges nothing by itself. */
static void tcp_take(struct tcp *t)
{
    struct packet p;
    while (t->p->outlet.queue.frames) {
        struct frame f = lab_take_packet(t->p, &p);
        const uint8_t *s = p.payload;
        size_t header = (s[12] >> 4) * 4u, size = p.payload_size - header;
        t->flags = s[13];
        if (t->flags & SYN)
            t->acknowledged = get32(s + 4);
        if (get32(s + 4) == t->acknowledged) {
            memcpy(t->data + t->size, s + header, size);
            t->size += size;
            t->acknowledged += (uint32_t)size + !!(t->flags & (SYN | FIN));
        }
        frame_unref(f);
    }
}

static void over_tcp(void **state)
{
    struct lab *l = *state;
    struct tcp t = {.p = l->web, .sequence = 1000};
    uint8_t query[2 + 512];
    size_t size = make_query(query + 2, "db.lan", 1);
    put16(query, (uint16_t)size);
    tcp_send(&t, SYN, NULL, 0, 0);
    tcp_take(&t);
    assert_int_equal(t.flags, SYN | ACK);
    tcp_send(&t, ACK, query, 1, 0); /* cut in two, then two at once */
    tcp_send(&t, ACK, query + 1, size + 1, 0);
    tcp_take(&t);
    assert_int_equal(get16(t.data), t.size - 2);
    assert_memory_equal(t.data + t.size - 4, "\x0a\x01\x00\x0b", 4);
    t.size = 0;
    uint8_t two[1024];
    memcpy(two, query, size + 2);
    memcpy(two + size + 2, query, size + 2);
    tcp_send(&t, ACK, two, 2 * (size + 2), 0);
    tcp_take(&t);
    assert_int_equal(t.size, 2 * (get16(t.data) + 2));
    tcp_send(&t, FIN | ACK, NULL, 0, 0);
    tcp_take(&t);
    assert_int_equal(t.flags, FIN | ACK);
    tcp_send(&t, ACK, NULL, 0, 0);
    switch_advance(l->s, 60 * NS_PER_S);
    tcp_take(&t);
    assert_int_equal(switch_next(l->s), INT64_MAX);
    tcp_send(&t, ACK, NULL, 0, 0);
    tcp_take(&t);
    assert_int_equal(t.flags, RST);
}

static void lost_segments_are_sent_again(void **state)
{
    struct lab *l = *state;
    struct tcp t = {.p = l->web, .sequence = 1000};
    uint8_t query[2 + 512];
    size_t size = make_query(query + 2, "db.lan", 1);
    put16(query, (uint16_t)size);
    tcp_send(&t, SYN, NULL, 0, 0);
    lab_drain(l->web);
    switch_advance(l->s, NS_PER_S);
    tcp_take(&t);
    assert_int_equal(t.flags, SYN | ACK);
    t.sequence += 5; /* a hole */
    tcp_send(&t, ACK, query + 5, size + 2 - 5, NS_PER_S);
    t.sequence = 1001;
    tcp_take(&t);
    assert_int_equal(t.size, 0);
    tcp_send(&t, ACK, query, size + 2, NS_PER_S);
    lab_drain(l->web); /* the answer gets lost */
    switch_advance(l->s, 2 * NS_PER_S);
    tcp_take(&t);
    assert_int_equal(get16(t.data), t.size - 2);
    for (int i = 0; i < 100; i++) /* no acknowledgement ever: it gives up */
        switch_advance(l->s, (3 + i) * NS_PER_S);
    assert_int_equal(switch_next(l->s), INT64_MAX);
}

static void large_answers_in_segments(void **state)
{
    struct lab *l = *state;
    struct tcp t = {.p = l->web, .sequence = 1000};
    struct frame f;
    uint8_t query[2 + 512];
    size_t size = make_query(query + 2, "example.com", 16);
    struct outlet *uplink = bridge_uplink_start(l->lan, false, l);
    put16(query, (uint16_t)size);
    tcp_send(&t, SYN, NULL, 0, 0);
    tcp_take(&t);
    tcp_send(&t, ACK, query, size + 2, 0);
    tcp_take(&t);
    assert_true(queue_pop(&uplink->queue, &f));
    assert_int_equal(f.data[16], 1);
    struct frame answer = frame_new(18 + 3000);
    memcpy(answer.data, f.data, f.len);
    answer.data[17 + 3000] = 77;
    bridge_uplink_input(l->lan, answer, 0);
    frame_unref(f);
    frame_unref(answer);
    tcp_take(&t);
    assert_int_equal(t.size, 3002);
    assert_int_equal(get16(t.data), 3000);
    assert_int_equal(t.data[3001], 77);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_those_of_the_hosts_file),
        TEST(plans_say_the_same),
        TEST(malformed_queries),
        TEST(over_udp),
        TEST(others_are_relayed),
        TEST(over_tcp),
        TEST(lost_segments_are_sent_again),
        TEST(large_answers_in_segments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
