/* Operation configure_network: the real agent, in user and network namespaces and a root directory of its own. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent_fixture.h"
#include "base/alloc.h"
#include "base/io.h"
#include "guest/network.h"
#include "netlink.h"

static const uint8_t mac_a[6] = {0x52, 0x54, 0, 0, 0, 0xa}, mac_b[6] = {0x52, 0x54, 0, 0, 0, 0xb},
                     mac_c[6] = {0x52, 0x54, 0, 0, 0, 0xc};

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write_full(fd, text, strlen(text)) < 0 || close(fd) < 0)
        _exit(20);
}

/* Leaves the host's network; this process is root in there. False where the host forbids it. */
static bool leave_host(void)
{
    char map[64];
    snprintf(map, sizeof(map), "0 %u 1", geteuid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", map);
    return true;
}

/* Any kind of interface that this kernel can make. */
static int add_link(const char *name, const uint8_t mac[6])
{
    static const char *const kinds[] = {"dummy", "ifb", "bridge"};
    int done = -1, fd = netlink_open(0);
    for (size_t i = 0; done < 0 && i < ARRAY_SIZE(kinds); i++) {
        struct netlink_request r;
        struct {
            struct nlattr head;
            char kind[8];
        } info = {.head = {.nla_len = (uint16_t)(NLA_HDRLEN + strlen(kinds[i])), .nla_type = IFLA_INFO_KIND}};
        strcpy(info.kind, kinds[i]);
        netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
        netlink_add(&r, IFLA_IFNAME, name, strlen(name) + 1);
        netlink_add(&r, IFLA_ADDRESS, mac, 6);
        netlink_add(&r, IFLA_LINKINFO, &info, sizeof(info));
        done = netlink_ask(fd, &r, NULL, NULL);
    }
    close(fd);
    return done;
}

static int make_links(void)
{
    return add_link("a0", mac_a) < 0 || add_link("b0", mac_b) < 0 ? -1 : 0;
}

static int probe(void)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(!leave_host() || make_links() < 0);
    return waitpid(pid, &status, 0) == pid && !status ? 0 : -1;
}

static int setup(void **state)
{
    struct agent_fixture *f = calloc(1, sizeof(*f));
    int pair[2];
    strcpy(f->directory, "/tmp/provium-unit-XXXXXX");
    if (!mkdtemp(f->directory) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    f->pid = fork();
    if (!f->pid) { /* in its own namespaces and root directory, with the channel */
        close(pair[0]);
        struct agent_options options = {.fd = pair[1], .channel_name = "test"};
        if (!leave_host() || make_links() < 0 || root_init() < 0 || chroot(f->directory) < 0 || chdir("/") < 0)
            _exit(9);
        _exit(agent_serve(&options));
    }
    close(pair[1]);
    f->loop = loop_new();
    f->guest = guest_new(f->loop, pair[0], -1);
    *state = f;
    return guest_wait_ready(f->guest, SOON, NULL);
}

/* Runs `fn` in the guest's network, in another process. */
static pid_t start_inside(struct agent_fixture *f, int (*fn)(void))
{
    pid_t pid = fork();
    if (pid)
        return pid;
    static const char *const names[] = {"user", "net"};
    int fds[2];
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)f->pid, names[i]);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
    }
    _exit(setns(fds[0], 0) < 0 || setns(fds[1], 0) < 0 || fn() < 0);
}

static void assert_ended_well(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static char *text_of(const char *path)
{
    struct buf b = BUF_INIT(1 << 20);
    file_read(path, &b, NULL);
    return buf_steal_str(&b);
}

/* Does /proc/net/<name>, as the guest sees it, have that text? */
static bool net_has(struct agent_fixture *f, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)f->pid, name);
    _cleanup_free_ char *all = text_of(path);
    return strstr(all, text) != NULL;
}

static void assert_file(struct agent_fixture *f, const char *name, const char *text)
{
    _cleanup_free_ char *all = text_of(in_scratch(f, name));
    assert_string_equal(all, text);
}

static void write_scratch(struct agent_fixture *f, const char *name, const char *text)
{
    mkdir(in_scratch(f, "etc"), 0755);
    put(in_scratch(f, name), text);
}

/* Expects every NIC to be found and configured. */
static void configure(struct agent_fixture *f, const struct guest_plan *plan)
{
    struct guest_network_state state;
    assert_ok(guest_configure_network(f->guest, plan, 0, &state, SOON, &e));
    assert_int_equal(state.nic_count, plan->nic_count);
    for (size_t i = 0; i < state.nic_count; i++) {
        assert_true(state.nics[i].found);
        assert_null(state.nics[i].reason);
    }
    assert_null(state.warning);
    guest_network_state_done(&state);
}

static struct guest_nic nic(const uint8_t mac[6], const char *ip4, const char *ip6)
{
    struct guest_nic n = {.mtu = 1400, .prefix4 = 24, .prefix6 = 64, .bridge_name = "lan"};
    memcpy(n.mac, mac, 6);
    strcpy(n.ip4, ip4);
    strcpy(n.ip6, ip6);
    return n;
}

/* A leaf of fib_trie: of the addresses used here only those that are the guest's own are there. */
#define LOCAL(address) "|-- " address "\n"
#define ADDRESS_A6     "fd70726f76690001000000000000000a"
#define GATEWAY_A6     "fd70726f766900010000000000000001"

static int add_others(void) /* what somebody in the guest does */
{
    struct netlink_request r;
    int fd = netlink_open(0);
    struct ifaddrmsg *m = netlink_begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
    m->ifa_family = AF_INET;
    m->ifa_prefixlen = 16;
    m->ifa_index = if_nametoindex("a0");
    netlink_add(&r, IFA_LOCAL, "\xac\x10\0\1", 4);
    return netlink_ask(fd, &r, NULL, NULL);
}

static int take_link_down(void)
{
    struct netlink_request r;
    struct ifinfomsg *m = netlink_begin(&r, RTM_NEWLINK, 0, sizeof(*m));
    m->ifi_index = (int)if_nametoindex("a0");
    m->ifi_change = IFF_UP;
    return netlink_ask(netlink_open(0), &r, NULL, NULL);
}

static void addresses_and_routes(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_route routes[] = {{"0.0.0.0/0", "10.65.0.1"}, {"fd00:1::/64", "fd70:726f:7669:1::1"}};
    struct guest_nic nics[] = {nic(mac_a, "10.65.0.10", "fd70:726f:7669:1::a"), nic(mac_b, "10.66.0.10", "")};
    struct guest_plan plan = {.nics = nics, .nic_count = 2};
    nics[0].routes = routes;
    nics[0].route_count = 2;
    nics[1].raw = true;
    for (int i = 0; i < 3; i++) {
        configure(f, &plan);
        assert_true(net_has(f, "fib_trie", LOCAL("10.65.0.10")));
        assert_true(net_has(f, "fib_trie", LOCAL("127.0.0.1")));
        assert_true(net_has(f, "if_inet6", ADDRESS_A6 " "));
        assert_true(net_has(f, "if_inet6", " 40 00 82 ")); /* permanent, without detection of duplicates, not tentative */
        assert_true(net_has(f, "route", "a0\t00000000\t0100410A\t0003\t0\t0\t0\t00000000"));
        assert_true(net_has(f, "ipv6_route", "fd000001000000000000000000000000 40 00000000000000000000000000000000 00 "
                                           GATEWAY_A6));
        assert_false(net_has(f, "fib_trie", LOCAL("10.66.0.10")));
        if (i == 1) /* the kernel forgets routes and IPv6 addresses */
            assert_ended_well(start_inside(f, take_link_down));
    }
    /* Another plan: other routes, another address; what somebody else did stays. */
    assert_ended_well(start_inside(f, add_others));
    struct guest_route other = {"10.70.0.0/24", "10.65.0.1"};
    nics[0].routes = &other;
    nics[0].route_count = 1;
    strcpy(nics[0].ip6, "");
    nics[1].raw = false;
    configure(f, &plan);
    assert_true(net_has(f, "fib_trie", LOCAL("10.65.0.10")));
    assert_true(net_has(f, "fib_trie", LOCAL("10.66.0.10")));
    assert_true(net_has(f, "fib_trie", LOCAL("172.16.0.1")));
    assert_false(net_has(f, "if_inet6", ADDRESS_A6));
    assert_false(net_has(f, "route", "a0\t00000000\t0100410A"));
    assert_false(net_has(f, "ipv6_route", GATEWAY_A6));
    assert_true(net_has(f, "route", "a0\t0000460A\t0100410A"));
    strcpy(nics[0].ip4, "172.16.0.1"); /* wanted now, but it was there before */
    nics[0].prefix4 = 16;
    nics[0].route_count = 0;
    configure(f, &plan);
    assert_false(net_has(f, "fib_trie", LOCAL("10.65.0.10")));
    plan.nic_count = 0;
    configure(f, &plan);
    assert_false(net_has(f, "fib_trie", LOCAL("10.66.0.10")));
    assert_true(net_has(f, "fib_trie", LOCAL("172.16.0.1")));
}

static int add_late_link(void)
{
    return add_link("c0", mac_c);
}

static void interfaces_that_are_not_there_yet(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_nic nics[] = {nic(mac_c, "10.67.0.10", ""), nic(mac_a, "10.65.0.10", "")};
    struct guest_plan plan = {.nics = nics, .nic_count = 2};
    struct guest_network_state s;
    assert_ok(guest_configure_network(f->guest, &plan, 20 * NS_PER_MS, &s, SOON, &e));
    assert_false(s.nics[0].found);
    assert_string_equal(s.nics[0].name, "");
    assert_string_equal(s.nics[0].reason, "the guest shows no interface with this MAC address");
    assert_true(s.nics[1].found);
    assert_string_equal(s.nics[1].name, "a0");
    assert_true(net_has(f, "fib_trie", LOCAL("10.65.0.10")));
    guest_network_state_done(&s);
    /* Given up while it waits. */
    int64_t soon = deadline_after(50 * NS_PER_MS);
    assert_int_equal(guest_configure_network(f->guest, &plan, 600 * NS_PER_S, &s, soon, NULL), -1);
    pid_t pid = start_inside(f, add_late_link);
    assert_ok(guest_configure_network(f->guest, &plan, 600 * NS_PER_S, &s, SOON, &e));
    assert_ended_well(pid);
    assert_string_equal(s.nics[0].name, "c0");
    assert_null(s.nics[0].reason);
    assert_true(net_has(f, "fib_trie", LOCAL("10.67.0.10")));
    guest_network_state_done(&s);
}

static void what_cannot_be_done_is_said(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_route route = {"10.70.0.0/24", "10.99.0.1"};
    struct guest_nic n = nic(mac_a, "10.65.0.10", "");
    struct guest_plan plan = {.nics = &n, .nic_count = 1};
    struct guest_network_state s;
    n.routes = &route;
    n.route_count = 1;
    assert_ok(guest_configure_network(f->guest, &plan, 0, &s, SOON, &e));
    assert_string_equal(s.nics[0].reason, "route: Network is unreachable");
    assert_true(net_has(f, "fib_trie", LOCAL("10.65.0.10")));
    guest_network_state_done(&s);
    strcpy(n.ip4, "nonsense");
    assert_error(guest_configure_network(f->guest, &plan, 0, &s, SOON, &e), EINVAL,
                 "configure_network: bridge `lan`: `nonsense` is no address");
}

#define BEGIN  "# provium: begin, kept current\n"
#define END    "# provium: end\n"
#define MARKER "# written by provium; without this line the file is left alone\n"

static void hosts(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_plan plan = {.hosts = ""};
    configure(f, &plan);
    assert_int_equal(access(in_scratch(f, "etc/hosts"), F_OK), -1);
    plan.hosts = "10.65.0.10 a.lan a\n";
    configure(f, &plan); /* there is not even /etc */
    assert_file(f, "etc/hosts", BEGIN "10.65.0.10 a.lan a\n" END);
    write_scratch(f, "etc/hosts", "127.0.0.1 localhost");
    configure(f, &plan);
    configure(f, &plan);
    assert_file(f, "etc/hosts", "127.0.0.1 localhost\n" BEGIN "10.65.0.10 a.lan a\n" END);
    write_scratch(f, "etc/hosts", "1.1.1.1 x\n" BEGIN "old\n" END "2.2.2.2 y\n");
    configure(f, &plan);
    assert_file(f, "etc/hosts", "1.1.1.1 x\n" BEGIN "10.65.0.10 a.lan a\n" END "2.2.2.2 y\n");
    plan.hosts = NULL;
    configure(f, &plan);
    assert_file(f, "etc/hosts", "1.1.1.1 x\n2.2.2.2 y\n");
    /* Whose end was edited away: nothing is lost. */
    plan.hosts = "new\n";
    write_scratch(f, "etc/hosts", BEGIN "old\n3.3.3.3 z\n");
    configure(f, &plan);
    configure(f, &plan);
    assert_file(f, "etc/hosts", BEGIN "old\n3.3.3.3 z\n" BEGIN "new\n" END);
}

static void resolv_conf(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_plan plan = {.resolv_conf = "nameserver 10.65.0.1\n"};
    configure(f, &plan); /* absent */
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.65.0.1\n");
    plan.resolv_conf = "nameserver 10.66.0.1\n";
    configure(f, &plan); /* its own */
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.66.0.1\n");
    write_scratch(f, "etc/resolv.conf", "nameserver 9.9.9.9\n");
    configure(f, &plan);
    assert_file(f, "etc/resolv.conf", "nameserver 9.9.9.9\n");
    plan.resolv_force = true;
    configure(f, &plan);
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.66.0.1\n");
    plan.resolv_force = false;
    write_scratch(f, "etc/resolv.conf", "");
    configure(f, &plan);
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.66.0.1\n");
    assert_int_equal(unlink(in_scratch(f, "etc/resolv.conf")), 0);
    assert_int_equal(symlink("../run/nowhere/stub", in_scratch(f, "etc/resolv.conf")), 0);
    configure(f, &plan);
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.66.0.1\n");
    plan.resolv_conf = NULL;
    configure(f, &plan);
    assert_file(f, "etc/resolv.conf", MARKER "nameserver 10.66.0.1\n");
}

static void an_unwritable_file_is_a_warning(void **state)
{
    struct agent_fixture *f = *state;
    struct guest_nic n = nic(mac_a, "10.65.0.10", "");
    struct guest_plan plan = {.nics = &n, .nic_count = 1, .hosts = "x\n", .resolv_conf = "x\n"};
    struct guest_network_state s;
    mkdir(in_scratch(f, "etc"), 0755);
    mkdir(in_scratch(f, "etc/hosts"), 0755);
    assert_ok(guest_configure_network(f->guest, &plan, 0, &s, SOON, &e));
    assert_null(s.nics[0].reason);
    assert_string_equal(s.warning, "/etc/hosts: Is a directory");
    assert_file(f, "etc/resolv.conf", MARKER "x\n");
    guest_network_state_done(&s);
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_AGENT(addresses_and_routes),
        WITH_AGENT(interfaces_that_are_not_there_yet),
        WITH_AGENT(what_cannot_be_done_is_said),
        WITH_AGENT(hosts),
        WITH_AGENT(resolv_conf),
        WITH_AGENT(an_unwritable_file_is_a_warning),
    };
    if (probe() < 0) {
        printf("skipped: this host allows no user and network namespaces with interfaces in them\n");
        return getenv("PROVIUM_MUST_WORK") ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
