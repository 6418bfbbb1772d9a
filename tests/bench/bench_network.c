/* Two guests and what is between them: provium's switch, a plain wire (one socket pair from QEMU to QEMU), QEMU's
 * `-netdev socket`, and vde_switch where it is installed. Then one guest and the host: provium's uplink against QEMU's own
 * `-netdev user`.
 *
 *   bench_network VMLINUX INITRD [ROUNDS [SECONDS [WAY…]]]     ways: switch wire socket vde uplink user; default all
 *
 * The guests are the same each time, under TCG, and measure when they are told to (bench_network.sh): round trip of ping, and
 * with the host's iperf3, put into their initrd, TCP from the client to the server and the other way. All are there at once
 * and take turns, each SECONDS long, so that what else the machine does meets all of them; who has no turn is stopped, for an
 * idle guest's timers are work too. Medians and their ratios are printed. */
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/process.h"
#include "base/tree.h"
#include "initrd/cpio.h"
#include "median.h"
#include "network/network.h"
#include "uplink/broker.h"
#include "vm/command_line.h"

#define ROUNDS_MAX       50
#define ROUNDS_PER_START 3

extern const char guest_script_start[], guest_script_end[];

struct bench {
    const char *kernel;
    int initrd_fd, broker;
    unsigned seconds; /* of a measurement */
    struct loop *loop;
};

struct guest {
    pid_t pid;
    FILE *in, *out; /* its console */
};

/* A way, at work. */
struct lab {
    struct guest client, server; /* server: pid 0 when the host is */
    pid_t other;                 /* vde_switch or iperf3; 0: none */
    struct network *network;
    char *directory;             /* of vde_switch's sockets, or NULL */
    int fds[2];
};

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static void check(int result, struct err *e)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_network: %s\n", err_message(e));
    exit(2);
}

static void add_file(struct buf *out, const char *name, const void *data, size_t size)
{
    while (out->len % CPIO_ALIGN)
        buf_append_byte(out, 0);
    cpio_append(out, &(struct cpio_entry){.name = name, .mode = S_IFREG | 0755, .links = 1, .size = (uint32_t)size}, data);
}

static void add_host_file(struct buf *out, const char *name, const char *path)
{
    _cleanup_buf_ struct buf file = BUF_INIT(64 << 20);
    struct err e = ERR_INIT;
    check(file_read(path, &file, &e), &e);
    add_file(out, name, buf_head(&file), file.len);
}

/* /iperf: the program, its libraries and its loader. */
static void add_iperf(struct buf *out)
{
    char line[4096];
    cpio_append(out, &(struct cpio_entry){.name = "iperf", .mode = S_IFDIR | 0755, .links = 2}, NULL);
    FILE *list = popen("p=$(command -v iperf3) && echo $p && ldd $p | grep -o '/[^ ]*'", "r");
    for (int count = 0; list; count++) {
        if (!fgets(line, sizeof(line), list)) {
            if (pclose(list) || !count)
                die("iperf3");
            return;
        }
        line[strcspn(line, "\n")] = '\0';
        _cleanup_free_ char *name = xasprintf("iperf/%s", strstr(line, "/ld-") ? "loader" : strrchr(line, '/') + 1);
        add_host_file(out, name, line);
    }
}

static int make_initrd(const char *base)
{
    _cleanup_buf_ struct buf out = BUF_INIT(256 << 20);
    struct err e = ERR_INIT;
    check(file_read(base, &out, &e), &e);
    add_file(&out, "bench", guest_script_start, (size_t)(guest_script_end - guest_script_start));
    add_iperf(&out);
    cpio_finish(&out);
    int fd = memfd_create("initrd", 0);
    if (fd < 0 || write_full(fd, buf_head(&out), out.len) < 0)
        die("memfd");
    return fd;
}

/* `fd` is what the netdev refers to, or -1. */
static void start_guest(const struct bench *b, struct guest *g, const char *netdev, int fd, const char *arguments)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        die("pipe");
    _cleanup_free_ char *append = xasprintf("console=ttyS0 quiet rdinit=/bench bench.seconds=%u %s", b->seconds, arguments);
    _cleanup_free_ char *device = xasprintf("virtio-net-pci,netdev=n,romfile=,mac=52:54:00:00:00:%02x,%s",
                                            strstr(arguments, "server") ? 2 : 1, MACHINE_NIC_FEATURES);
    char initrd[64];
    snprintf(initrd, sizeof(initrd), "/proc/self/fd/%d", b->initrd_fd);
    g->pid = process_fork();
    if (!g->pid) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        if (fd >= 0)
            fd_set_cloexec(fd, false);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-M", "q35",
               "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256", "-kernel", b->kernel, "-initrd", initrd, "-append", append,
               "-serial", "stdio", "-netdev", netdev, "-device", device, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    g->in = fdopen(in[1], "w");
    g->out = fdopen(out[0], "r");
}

static void stop_guest(struct guest *g)
{
    if (!g->pid)
        return;
    process_kill_and_reap(g->pid);
    fclose(g->in);
    fclose(g->out);
}

static void signal_guests(const struct lab *l, int signal)
{
    kill(l->client.pid, signal);
    if (l->server.pid)
        kill(l->server.pid, signal);
}

/* The next number that the guest tells; NULL: one it comes to tell by itself. */
static double ask(const struct guest *g, const char *what)
{
    char line[512];
    double value;
    if (what)
        fprintf(g->in, "%s\n", what);
    fflush(g->in);
    while (fgets(line, sizeof(line), g->out)) {
        const char *at = strstr(line, "RESULT ");
        if (at && sscanf(at, "RESULT %lf", &value) == 1)
            return value;
    }
    fprintf(stderr, "bench_network: a guest has ended\n");
    exit(2);
}

#define SERVER "bench.role=server bench.own=10.1.0.2 bench.port=7000"
#define CLIENT "bench.role=client bench.own=10.1.0.10 bench.peer=10.1.0.2 bench.port=7000 bench.streams=1"

static void start_pair(const struct bench *b, struct lab *l, const char *server_netdev, const char *client_netdev)
{
    start_guest(b, &l->server, server_netdev, l->fds[0], SERVER);
    usleep(300000); /* one that listens comes first */
    start_guest(b, &l->client, client_netdev, l->fds[1], CLIENT);
}

static char *stream_netdev(int fd)
{
    return xasprintf("stream,id=n,server=off,addr.type=fd,addr.str=%d", fd);
}

static void start_streams(const struct bench *b, struct lab *l)
{
    _cleanup_free_ char *one = stream_netdev(l->fds[0]), *two = stream_netdev(l->fds[1]);
    start_pair(b, l, one, two);
}

static void start_wire(const struct bench *b, struct lab *l)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->fds) < 0)
        die("socketpair");
    start_streams(b, l);
}

static uint32_t make_bridge(const struct bench *b, struct lab *l)
{
    static const char *const names[] = {"a", "b"};
    struct err e = ERR_INIT;
    struct bridge_info bridge;
    int connection = uplink_broker_connect(b->broker, &e);
    check(connection, &e);
    l->network = network_start(b->loop, connection, &e);
    check(l->network ? 0 : -1, &e);
    check(network_bridge_new(l->network, "lan", &(struct bridge_options){.subnet4 = "10.1.0.0/24"}, &bridge, &e), &e);
    for (unsigned i = 0; i < 2; i++) {
        check(network_attach(l->network, bridge.id, &(struct member_request){names[i], i + 1}, 1, NULL, &e), &e);
        check(network_connect(l->network, bridge.id, names[i], &l->fds[i], &e), &e);
    }
    return bridge.id;
}

static void start_switch(const struct bench *b, struct lab *l)
{
    make_bridge(b, l);
    start_streams(b, l);
}

/* One that nobody listens on, for whoever is quick. */
static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(in);
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, size) < 0 || getsockname(fd, (struct sockaddr *)&in, &size) < 0)
        die("port");
    return ntohs(in.sin_port);
}

static void start_socket(const struct bench *b, struct lab *l)
{
    uint16_t port = free_port();
    _cleanup_free_ char *one = xasprintf("socket,id=n,listen=127.0.0.1:%u", port),
                        *two = xasprintf("socket,id=n,connect=127.0.0.1:%u", port);
    start_pair(b, l, one, two);
}

static void start_vde(const struct bench *b, struct lab *l)
{
    l->directory = xstrdup("/tmp/bench-network-XXXXXX");
    if (!mkdtemp(l->directory))
        die("mkdtemp");
    _cleanup_free_ char *netdev = xasprintf("vde,id=n,sock=%s/vde", l->directory);
    l->other = process_fork();
    if (!l->other) {
        int fds[2];
        if (pipe(fds) < 0)
            _exit(127);
        dup2(fds[0], STDIN_FILENO); /* it ends with its standard input */
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execlp("vde_switch", "vde_switch", "-s", strstr(netdev, "/"), (char *)NULL);
        _exit(127);
    }
    usleep(300000);
    start_pair(b, l, netdev, netdev);
}

/* ---- a guest and the host ----
 * Four connections at once: libslirp's window is 64 KiB, so that one alone measures round trips. */

static void start_to_host(const struct bench *b, struct lab *l, const char *netdev, int fd)
{
    uint16_t port = free_port();
    _cleanup_free_ char *text = xasprintf("%u", port);
    l->other = process_fork();
    if (!l->other) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execlp("iperf3", "iperf3", "-s", "-B", "127.0.0.1", "-p", text, (char *)NULL);
        _exit(127);
    }
    _cleanup_free_ char *arguments =
        xasprintf("bench.role=client bench.own=10.1.0.10 bench.peer=10.1.0.1 bench.port=%u bench.streams=4", port);
    start_guest(b, &l->client, netdev, fd, arguments);
}

static void start_uplink(const struct bench *b, struct lab *l)
{
    struct err e = ERR_INIT;
    uint32_t bridge = make_bridge(b, l);
    check(network_enable_uplink(l->network, bridge, &(struct uplink_options){.host_loopback = true}, &e), &e);
    _cleanup_free_ char *netdev = stream_netdev(l->fds[0]);
    start_to_host(b, l, netdev, l->fds[0]);
}

static void start_user(const struct bench *b, struct lab *l)
{
    start_to_host(b, l, "user,id=n,net=10.1.0.0/24,host=10.1.0.1", -1);
}

static void lab_stop(struct lab *l)
{
    stop_guest(&l->client);
    stop_guest(&l->server);
    if (l->other)
        process_kill_and_reap(l->other);
    network_free(l->network);
    for (int i = 0; i < 2; i++)
        close_fd(&l->fds[i]);
    if (l->directory)
        tree_remove(l->directory);
    free(l->directory);
}

/* ---- all of it ---- */

enum { RTT, OUT, BACK };
static const char *const asked[] = {"rtt", "out", "back"}; /* us, Mbit/s, Mbit/s */

struct way {
    const char *name;
    void (*start)(const struct bench *b, struct lab *l);
    bool absent, skip;
    struct lab lab;
    double results[ARRAY_SIZE(asked)][ROUNDS_MAX];
};

static void print_way(struct way *w, int rounds)
{
    if (w->absent)
        printf("  %-8s not installed\n", w->name);
    else if (!w->skip)
        printf("  %-8s %6.0f us   %7.1f Mbit/s   %7.1f Mbit/s\n", w->name, median(w->results[RTT], rounds),
               median(w->results[OUT], rounds), median(w->results[BACK], rounds));
}

static void print_ratio(const struct way *a, const struct way *b, const char *floor, int rounds)
{
    if (a->skip || b->skip)
        return;
    double ratio[ARRAY_SIZE(asked)];
    for (size_t m = 0; m < ARRAY_SIZE(asked); m++)
        ratio[m] = a->results[m][rounds / 2] / b->results[m][rounds / 2];
    printf("  %s / %s: round trip %.2f, out %.2f, back %.2f   (%s)\n", a->name, b->name, ratio[RTT], ratio[OUT], ratio[BACK],
           floor);
}

/* Each measurement of all ways before the next one: what is compared is near in time. Another way begins each round. */
static void run_round(struct way *ways, size_t count, int round)
{
    for (size_t m = 0; m < ARRAY_SIZE(asked); m++)
        for (size_t i = 0; i < count; i++) {
            struct way *w = &ways[(i + (size_t)round) % count];
            if (w->skip)
                continue;
            signal_guests(&w->lab, SIGCONT);
            w->results[m][round] = ask(&w->lab.client, asked[m]);
            signal_guests(&w->lab, SIGSTOP);
        }
}

static void start_all(struct way *ways, size_t count, const struct bench *b)
{
    for (struct way *w = ways; w < ways + count; w++) {
        w->lab = (struct lab){.fds = {-1, -1}};
        if (!w->skip)
            w->start(b, &w->lab);
    }
    for (struct way *w = ways; w < ways + count; w++)
        if (!w->skip)
            ask(&w->lab.client, NULL);
    for (struct way *w = ways; w < ways + count; w++)
        if (!w->skip)
            signal_guests(&w->lab, SIGSTOP);
}

/* The same guests differ by a tenth from start to start: every few rounds there are new ones. */
static void run_all(struct way *ways, size_t count, const struct bench *b, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        if (i % ROUNDS_PER_START == 0)
            start_all(ways, count, b);
        run_round(ways, count, i);
        if (i + 1 < rounds && (i + 1) % ROUNDS_PER_START)
            continue;
        for (struct way *w = ways; w < ways + count; w++)
            if (!w->skip)
                lab_stop(&w->lab);
    }
}

int main(int argc, char **argv)
{
    static struct way ways[] = {{.name = "switch", .start = start_switch}, {.name = "wire", .start = start_wire},
                                {.name = "socket", .start = start_socket}, {.name = "vde", .start = start_vde},
                                {.name = "uplink", .start = start_uplink}, {.name = "user", .start = start_user}};
    int rounds = argc > 3 ? atoi(argv[3]) : 15, seconds = argc > 4 ? atoi(argv[4]) : 1;
    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX || seconds < 1) {
        fprintf(stderr, "usage: bench_network VMLINUX INITRD [ROUNDS [SECONDS [WAY...]]]\n");
        return 2;
    }
    ways[3].absent = system("command -v vde_switch >/dev/null");
    for (struct way *w = ways; w < ways + ARRAY_SIZE(ways); w++) {
        w->skip = argc > 5 || w->absent;
        for (int i = 5; i < argc; i++)
            w->skip = (w->skip && strcmp(argv[i], w->name)) || w->absent;
    }
    struct err e = ERR_INIT;
    pid_t broker_pid;
    struct bench b = {.kernel = argv[1], .seconds = (unsigned)seconds};
    signal(SIGPIPE, SIG_IGN);
    b.broker = uplink_broker_start(&broker_pid, &e);
    check(b.broker, &e);
    b.loop = loop_new();
    b.initrd_fd = make_initrd(argv[2]);
    run_all(ways, ARRAY_SIZE(ways), &b, rounds);
    printf("medians of %d rounds\n           ping           TCP out          TCP back\n", rounds);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
        print_way(&ways[i], rounds);
    print_ratio(&ways[0], &ways[1], "what the switch costs", rounds);
    print_ratio(&ways[0], &ways[2], "below 1, above 1, above 1", rounds);
    print_ratio(&ways[0], &ways[3], "below 1, above 1, above 1", rounds);
    print_ratio(&ways[4], &ways[5], "at least 0.95", rounds);
    loop_free(b.loop);
    return 0;
}
