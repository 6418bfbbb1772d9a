/* The switch process through the runner's calls, with this test as the guests. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "network/network.h"
#include "switch/bytes.h"
#include "switch/frame.h"
#include "switch/plan.h"

struct lab {
    struct loop *loop;
    struct network *n;
    struct bridge_info lan;
    struct member_info info[2];
    int fd[2]; /* QEMU's ends */
};

static int setup(void **state)
{
    struct lab *l = calloc(1, sizeof(*l));
    static const struct member_request members[2] = {{"a", 1}, {"b", 2}};
    l->loop = loop_new();
    l->n = network_start(l->loop, -1, NULL);
    assert_non_null(l->n);
    assert_int_equal(
        network_bridge_new(l->n, "lan", &(struct bridge_options){.raw = true}, &l->lan, NULL), 0);
    assert_int_equal(network_attach(l->n, l->lan.id, members, 2, l->info, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(network_connect(l->n, l->lan.id, members[i].name, &l->fd[i], NULL), 0);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    struct lab *l = *state;
    network_free(l->n);
    loop_free(l->loop);
    for (int i = 0; i < 2; i++)
        close_fd(&l->fd[i]);
    free(l);
    return 0;
}

static void send_frame(struct lab *l, int from, size_t size, uint8_t fill)
{
    uint8_t message[4 + 2000];
    put32(message, (uint32_t)size);
    memset(message + 4, fill, size);
    memset(message + 4, 0xff, 6);
    memcpy(message + 10, l->info[from].mac, 6);
    assert_int_equal(write_full(l->fd[from], message, 4 + size), 0);
}

static void expect_frame(struct lab *l, int at, size_t size, uint8_t fill)
{
    uint8_t message[4 + 2000];
    assert_int_equal(read_full(l->fd[at], message, 4 + size), 4 + size);
    assert_int_equal(get32(message), size);
    assert_int_equal(message[4 + size - 1], fill);
}

static void frames_pass(void **state)
{
    struct lab *l = *state;
    struct bridge_stats stats;
    struct nic_counters counters;
    for (int round = 0; round < 1000; round++) {
        send_frame(l, 0, 60 + (size_t)round, (uint8_t)round);
        expect_frame(l, 1, 60 + (size_t)round, (uint8_t)round);
    }
    send_frame(l, 1, 100, 7);
    expect_frame(l, 0, 100, 7);
    assert_int_equal(network_bridge_stats(l->n, l->lan.id, &stats, NULL), 0);
    assert_int_equal(stats.frames, 1001);
    assert_int_equal(network_nic_counters(l->n, l->lan.id, "b", &counters, NULL), 0);
    assert_int_equal(counters.rx_packets, 1000);
    assert_int_equal(counters.tx_packets, 1);
}

static void broken_framing_is_skipped(void **state)
{
    struct lab *l = *state;
    struct bridge_stats stats;
    uint8_t runt[4 + 5] = {0, 0, 0, 5}, giant[4] = {0, 1, 0, 14};
    static uint8_t body[65536 + 14];
    assert_int_equal(write_full(l->fd[0], runt, sizeof(runt)), 0);
    assert_int_equal(write_full(l->fd[0], giant, sizeof(giant)), 0);
    assert_int_equal(write_full(l->fd[0], body, sizeof(body)), 0);
    send_frame(l, 0, 60, 9);
    expect_frame(l, 1, 60, 9);
    assert_int_equal(network_bridge_stats(l->n, l->lan.id, &stats, NULL), 0);
    assert_int_equal(stats.errors, 2);
    assert_int_equal(stats.frames, 1);
}

static void a_stalled_guest_loses_only_its_own(void **state)
{
    struct lab *l = *state;
    struct bridge_stats stats;
    for (int i = 0; i < 20000; i++) /* b does not read */
        send_frame(l, 0, 1500, 1);
    send_frame(l, 1, 60, 2);
    expect_frame(l, 0, 60, 2);
    do
        assert_int_equal(network_bridge_stats(l->n, l->lan.id, &stats, NULL), 0);
    while (stats.frames < 20001);
    assert_true(stats.dropped_queue > 0);
    assert_int_equal(stats.dropped_queue + stats.delivered, 20001);
    for (uint64_t i = 1; i < stats.delivered; i++)
        expect_frame(l, 1, 1500, 1);
}

static void latency_by_the_clock(void **state)
{
    struct lab *l = *state;
    struct impairment rule = {.set = IMPAIR_LATENCY, .latency = 30 * NS_PER_MS};
    assert_int_equal(network_impair(l->n, l->lan.id, &rule, NULL), 0);
    int64_t begin = clock_monotonic_ns();
    send_frame(l, 0, 60, 3);
    expect_frame(l, 1, 60, 3);
    assert_true(clock_monotonic_ns() - begin >= 30 * NS_PER_MS);
    struct impairment *rules;
    size_t count;
    assert_int_equal(network_impairments(l->n, l->lan.id, &rules, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(rules[0].latency, 30 * NS_PER_MS);
    assert_null(rules[0].from);
    impairments_free(rules, count);
}

static void errors_come_with_their_hint(void **state)
{
    struct lab *l = *state;
    _cleanup_err_ struct err e = ERR_INIT;
    assert_int_equal(network_isolate(l->n, l->lan.id, "x", true, &e), -1);
    assert_string_equal(e.message, "`x` is not a member of bridge `lan`");
    assert_string_equal(e.hint, "call bridge:attach first");
    assert_int_equal(e.code, ENOENT);
    assert_int_equal(network_bridge_close(l->n, l->lan.id, NULL), 0);
    assert_int_equal(network_reset(l->n, l->lan.id, &e), -1);
    assert_string_equal(e.message, "the bridge is closed");
    uint8_t byte;
    assert_int_equal(read(l->fd[0], &byte, 1), 0); /* its NICs are unplugged */
}

static void reconnecting_replaces(void **state)
{
    struct lab *l = *state;
    int again;
    uint8_t byte;
    struct nic_counters counters;
    send_frame(l, 0, 60, 1);
    expect_frame(l, 1, 60, 1);
    assert_int_equal(network_connect(l->n, l->lan.id, "b", &again, NULL), 0);
    assert_int_equal(read(l->fd[1], &byte, 1), 0);
    close(l->fd[1]);
    l->fd[1] = again;
    assert_int_equal(network_nic_counters(l->n, l->lan.id, "b", &counters, NULL), 0);
    assert_int_equal(counters.rx_packets, 0);
    send_frame(l, 0, 60, 4);
    expect_frame(l, 1, 60, 4);
    struct member_info *members;
    size_t count;
    close_fd(&l->fd[0]); /* QEMU exits; the member stays */
    assert_int_equal(network_isolate(l->n, l->lan.id, "a", true, NULL), 0);
    assert_int_equal(network_members(l->n, l->lan.id, &members, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_string_equal(members[0].name, "a");
    assert_true(members[0].isolated);
    free(members);
}

static void a_detached_nic_can_come_back(void **state)
{
    struct lab *l = *state;
    struct bridge_stats stats;
    struct member_info info;
    assert_int_equal(network_detach(l->n, l->lan.id, "a", NULL), 0);
    send_frame(l, 0, 60, 1);
    do
        assert_int_equal(network_bridge_stats(l->n, l->lan.id, &stats, NULL), 0);
    while (!stats.dropped_link);
    assert_int_equal(network_set_link(l->n, l->lan.id, "a", true, NULL), -1);
    assert_int_equal(
        network_attach(l->n, l->lan.id, &(struct member_request){"a", 1}, 1, &info, NULL), 0);
    assert_memory_equal(info.mac, l->info[0].mac, MAC_SIZE);
    assert_true(info.connected); /* the device was never unplugged */
    send_frame(l, 0, 60, 2);
    expect_frame(l, 1, 60, 2);
    assert_int_equal(network_set_link(l->n, l->lan.id, "a", false, NULL), 0);
    send_frame(l, 1, 60, 3);
    do
        assert_int_equal(network_bridge_stats(l->n, l->lan.id, &stats, NULL), 0);
    while (stats.frames < 2);
    assert_int_equal(network_set_link(l->n, l->lan.id, "a", true, NULL), 0);
    send_frame(l, 1, 60, 4);
    expect_frame(l, 0, 60, 4);
}

static void captures_stream(void **state)
{
    struct lab *l = *state;
    int pipes[2];
    uint32_t id;
    uint8_t header[24], record[16], frame[2000];
    struct capture_stats stats;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(
        network_capture(l->n, l->lan.id, NULL, &(struct capture_options){0}, pipes[1], &id, NULL),
        0);
    close(pipes[1]);
    assert_int_equal(read_full(pipes[0], header, 24), 24);
    assert_memory_equal(header, "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", 8);
    assert_memory_equal(header + 16, "\x0d\x00\x01\x00\x01\x00\x00\x00", 8);
    for (uint8_t i = 0; i < 10; i++)
        send_frame(l, 0, 100, i);
    for (uint8_t i = 0; i < 10; i++) {
        assert_int_equal(read_full(pipes[0], record, 16), 16);
        assert_int_equal(record[8], 100);
        assert_int_equal(read_full(pipes[0], frame, 100), 100);
        assert_int_equal(frame[99], i);
    }
    assert_int_equal(network_bridge_close(l->n, l->lan.id, NULL), 0);
    assert_int_equal(read(pipes[0], frame, 1), 0);
    assert_int_equal(network_capture_stats(l->n, id, &stats, NULL), 0);
    assert_int_equal(stats.packets, 10);
    assert_int_equal(stats.bytes, 1000);
    assert_int_equal(network_capture_close(l->n, id, NULL), 0);
    assert_int_equal(network_capture_stats(l->n, id, &stats, NULL), -1);
    close(pipes[0]);
}

static void bridges_are_saved_and_loaded(void **state)
{
    struct lab *l = *state;
    _cleanup_buf_ struct buf saved = BUF_INIT(1 << 20);
    struct bridge_info info;
    struct impairment rule = {.from = "a", .to = "b", .set = IMPAIR_LOSS, .loss = 12.5};
    assert_int_equal(network_impair(l->n, l->lan.id, &rule, NULL), 0);
    assert_int_equal(network_partition(l->n, l->lan.id, "a", "later", false, NULL), 0);
    assert_int_equal(network_isolate(l->n, l->lan.id, "b", true, NULL), 0);
    assert_int_equal(network_bridge_save(l->n, l->lan.id, &saved, NULL), 0);
    static const struct member_request vms[2] = {{"b", 12}, {"a", 11}};
    assert_int_equal(network_bridge_load(l->n, buf_head(&saved), saved.len, vms, 2, &info, NULL),
                     0);
    assert_int_not_equal(info.id, l->lan.id);
    assert_string_equal(info.subnet4, l->lan.subnet4);
    struct member_info *members;
    struct impairment *rules;
    size_t count;
    assert_int_equal(network_members(l->n, info.id, &members, &count, NULL), 0);
    assert_int_equal(count, 2);
    assert_int_equal(members[0].vm, 11);
    assert_memory_equal(members[1].mac, l->info[1].mac, MAC_SIZE);
    free(members);
    assert_int_equal(network_is_partitioned(l->n, info.id, "later", "a", NULL), 1);
    assert_int_equal(network_is_isolated(l->n, info.id, "b", NULL), 1);
    assert_int_equal(network_impairments(l->n, info.id, &rules, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_true(rules[0].loss == 12.5);
    impairments_free(rules, count);
    for (size_t cut = 0; cut < saved.len; cut++)
        assert_int_equal(network_bridge_load(l->n, buf_head(&saved), cut, NULL, 0, &info, NULL),
                         -1);
}

static void guests_get_a_plan(void **state)
{
    struct lab *l = *state;
    struct bridge_info net;
    struct guest_plan plan;
    static const struct member_request a = {"a", 1};
    assert_int_equal(network_bridge_new(l->n, "net",
                                        &(struct bridge_options){.subnet4 = "10.9.0.0/24"}, &net,
                                        NULL),
                     0);
    assert_int_equal(network_attach(l->n, net.id, &a, 1, NULL, NULL), 0);
    assert_int_equal(network_guest_plan(l->n, 1, &plan, NULL), 0);
    assert_int_equal(plan.nic_count, 2);
    assert_true(plan.nics[0].raw);
    assert_string_equal(plan.nics[1].ip4, "10.9.0.10");
    assert_non_null(strstr(plan.hosts, "10.9.0.10 a.net a\n"));
    assert_string_equal(plan.resolv_conf, "search net\nnameserver 10.9.0.1\n");
    guest_plan_done(&plan);
}

static void the_end_of_the_process_is_told(void **state)
{
    struct lab *l = *state;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf children = BUF_INIT(4096);
    assert_int_equal(file_read("/proc/thread-self/children", &children, NULL), 0);
    _cleanup_free_ char *text = buf_steal_str(&children);
    assert_int_equal(kill(atoi(text), SIGKILL), 0);
    while (network_reset(l->n, l->lan.id, &e) == 0)
        ;
    assert_non_null(strstr(e.message, "the switch process"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_pass),
        TEST(broken_framing_is_skipped),
        TEST(a_stalled_guest_loses_only_its_own),
        TEST(latency_by_the_clock),
        TEST(errors_come_with_their_hint),
        TEST(reconnecting_replaces),
        TEST(a_detached_nic_can_come_back),
        TEST(captures_stream),
        TEST(bridges_are_saved_and_loaded),
        TEST(guests_get_a_plan),
        TEST(the_end_of_the_process_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
