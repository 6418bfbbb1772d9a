/* Two guests and what is between them: provium's switch, a plain wire (one socket pair from QEMU to QEMU), QEMU's
 * `-netdev socket`, and vde_switch where it is installed. Then one guest and the host: provium's uplink against QEMU's own
 * `-netdev user`.
 *
 *   bench_network VMLINUX INITRD [ROUNDS [SECONDS [WAY…]]]     ways: switch wire socket vde uplink user; default all
 *
 * The guests are the same each time, under TCG, and measure themselves (bench_network.sh): round trip of ping, and the host's
 * iperf3, put into their initrd: TCP from the client to the server, and the other way. Ways alternate; medians and ratios are
 * printed. */
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
#include "initrd/cpio.h"
#include "network/network.h"
#include "uplink/broker.h"
#include "vm/command_line.h"

#define ROUNDS_MAX 50

extern const char guest_script_start[], guest_script_end[];

struct result {
    double rtt_us, up, down; /* Mbit/s */
};

struct bench {
    const char *kernel;
    int initrd_fd, broker;
    unsigned seconds; /* per direction */
    struct loop *loop;
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

struct guest {
    pid_t pid;
    int console;
};

/* `fd` is what the netdev refers to, or -1. */
static struct guest start_guest(const struct bench *b, const char *netdev, int fd, const char *arguments)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        die("pipe");
    _cleanup_free_ char *append =
        xasprintf("console=ttyS0 quiet rdinit=/bench bench.seconds=%u %s", b->seconds, arguments);
    _cleanup_free_ char *device = xasprintf("virtio-net-pci,netdev=n,romfile=,mac=52:54:00:00:00:%02x,%s",
                                            strstr(arguments, "server") ? 2 : 1, MACHINE_NIC_FEATURES);
    char initrd[64];
    snprintf(initrd, sizeof(initrd), "/proc/self/fd/%d", b->initrd_fd);
    pid_t pid = process_fork();
    if (!pid) {
        dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        if (fd >= 0)
            fd_set_cloexec(fd, false);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-M", "q35",
               "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256", "-kernel", b->kernel, "-initrd", initrd, "-append", append,
               "-serial", "stdio", "-netdev", netdev, "-device", device, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    return (struct guest){pid, out[0]};
}

static void stop_guest(struct guest *g)
{
    process_kill_and_reap(g->pid);
    close(g->console);
}

/* Reads the client's console up to its result; *ret is zero when it ended without one. */
static void await_result(const struct guest *g, struct result *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
    *ret = (struct result){0};
    for (;;) {
        uint8_t *to = buf_reserve(&text, 4096);
        ssize_t n = to ? read(g->console, to, 4096) : 0;
        if (n <= 0)
            return;
        buf_commit(&text, (size_t)n);
        const char *at = memmem(buf_head(&text), text.len, "RESULT ", 7);
        const char *end = (const char *)buf_head(&text) + text.len;
        if (!at || !memchr(at, '\n', (size_t)(end - at)))
            continue;
        _cleanup_free_ char *line = xstrndup(at, (size_t)(end - at));
        if (sscanf(line, "RESULT %lf %lf %lf", &ret->rtt_us, &ret->up, &ret->down) != 3)
            *ret = (struct result){0};
        return;
    }
}

#define SERVER "bench.role=server bench.own=10.1.0.2 bench.port=7000"
#define CLIENT "bench.role=client bench.own=10.1.0.10 bench.peer=10.1.0.2 bench.port=7000"

static struct result run_pair(const struct bench *b, const char *server_netdev, int server_fd, const char *client_netdev,
                              int client_fd)
{
    struct result r;
    struct guest server = start_guest(b, server_netdev, server_fd, SERVER);
    usleep(300000); /* one that listens comes first */
    struct guest client = start_guest(b, client_netdev, client_fd, CLIENT);
    await_result(&client, &r);
    stop_guest(&client);
    stop_guest(&server);
    return r;
}

static char *stream_netdev(int fd)
{
    return xasprintf("stream,id=n,server=off,addr.type=fd,addr.str=%d", fd);
}

static struct result run_wire(const struct bench *b)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        die("socketpair");
    _cleanup_free_ char *one = stream_netdev(pair[0]), *two = stream_netdev(pair[1]);
    struct result r = run_pair(b, one, pair[0], two, pair[1]);
    close(pair[0]);
    close(pair[1]);
    return r;
}

struct lab {
    struct network *n;
    struct bridge_info bridge;
    int fds[2];
};

static void lab_start(const struct bench *b, struct lab *l)
{
    static const char *const names[] = {"a", "b"};
    struct err e = ERR_INIT;
    int connection = uplink_broker_connect(b->broker, &e);
    check(connection, &e);
    l->n = network_start(b->loop, connection, &e);
    check(l->n ? 0 : -1, &e);
    check(network_bridge_new(l->n, "lan", &(struct bridge_options){.subnet4 = "10.1.0.0/24"}, &l->bridge, &e), &e);
    for (unsigned i = 0; i < 2; i++) {
        check(network_attach(l->n, l->bridge.id, &(struct member_request){names[i], i + 1}, 1, NULL, &e), &e);
        check(network_connect(l->n, l->bridge.id, names[i], &l->fds[i], &e), &e);
    }
}

static void lab_stop(struct lab *l)
{
    network_free(l->n);
    close(l->fds[0]);
    close(l->fds[1]);
}

static struct result run_switch(const struct bench *b)
{
    struct lab l;
    lab_start(b, &l);
    _cleanup_free_ char *one = stream_netdev(l.fds[0]), *two = stream_netdev(l.fds[1]);
    struct result r = run_pair(b, one, l.fds[0], two, l.fds[1]);
    lab_stop(&l);
    return r;
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

static struct result run_socket(const struct bench *b)
{
    uint16_t port = free_port();
    _cleanup_free_ char *one = xasprintf("socket,id=n,listen=127.0.0.1:%u", port),
                        *two = xasprintf("socket,id=n,connect=127.0.0.1:%u", port);
    return run_pair(b, one, -1, two, -1);
}

static struct result run_vde(const struct bench *b)
{
    char dir[] = "/tmp/bench-vde-XXXXXX";
    if (!mkdtemp(dir))
        die("mkdtemp");
    _cleanup_free_ char *sock = xasprintf("%s/s", dir), *netdev = xasprintf("vde,id=n,sock=%s/s", dir);
    pid_t pid = process_fork();
    if (!pid) {
        int fds[2];
        if (pipe(fds) < 0)
            _exit(127);
        dup2(fds[0], STDIN_FILENO); /* it ends with its standard input */
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execlp("vde_switch", "vde_switch", "-s", sock, (char *)NULL);
        _exit(127);
    }
    usleep(300000);
    struct result r = run_pair(b, netdev, -1, netdev, -1);
    process_kill_and_reap(pid);
    _cleanup_free_ char *clean = xasprintf("rm -rf %s", dir);
    if (system(clean))
        die(clean);
    return r;
}

/* ---- a guest and the host ---- */

static struct result run_to_host(const struct bench *b, const char *netdev, int fd)
{
    struct result r;
    uint16_t port = free_port();
    _cleanup_free_ char *text = xasprintf("%u", port);
    pid_t server = process_fork();
    if (!server) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execlp("iperf3", "iperf3", "-s", "-B", "127.0.0.1", "-p", text, (char *)NULL);
        _exit(127);
    }
    _cleanup_free_ char *arguments =
        xasprintf("bench.role=client bench.own=10.1.0.10 bench.peer=10.1.0.1 bench.port=%u", port);
    struct guest client = start_guest(b, netdev, fd, arguments);
    await_result(&client, &r);
    stop_guest(&client);
    process_kill_and_reap(server);
    return r;
}

static struct result run_uplink(const struct bench *b)
{
    struct lab l;
    struct err e = ERR_INIT;
    lab_start(b, &l);
    check(network_enable_uplink(l.n, l.bridge.id, &(struct uplink_options){.host_loopback = true}, &e), &e);
    _cleanup_free_ char *netdev = stream_netdev(l.fds[0]);
    struct result r = run_to_host(b, netdev, l.fds[0]);
    lab_stop(&l);
    return r;
}

static struct result run_user(const struct bench *b)
{
    return run_to_host(b, "user,id=n,net=10.1.0.0/24,host=10.1.0.1", -1);
}

/* ---- all of it ---- */

struct way {
    const char *name;
    struct result (*run)(const struct bench *b);
    bool absent, skip;
    double rtt[ROUNDS_MAX], up[ROUNDS_MAX], down[ROUNDS_MAX];
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof(*values), by_value);
    return values[n / 2];
}

static void print_way(struct way *w, int rounds)
{
    if (w->absent)
        printf("  %-8s not installed\n", w->name);
    else if (!w->skip)
        printf("  %-8s %6.0f us   %7.1f Mbit/s   %7.1f Mbit/s\n", w->name, median(w->rtt, rounds), median(w->up, rounds),
               median(w->down, rounds));
}

static void print_ratio(const struct way *a, const struct way *b, const char *floor, int rounds)
{
    if (a->skip || b->skip || b->absent)
        return;
    printf("  %s / %s: round trip %.2f, out %.2f, back %.2f   (%s)\n", a->name, b->name,
           a->rtt[rounds / 2] / b->rtt[rounds / 2], a->up[rounds / 2] / b->up[rounds / 2],
           a->down[rounds / 2] / b->down[rounds / 2], floor);
}

static void run_rounds(struct way *ways, size_t count, const struct bench *b, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        for (struct way *w = ways; w < ways + count; w++) {
            if (w->skip || w->absent)
                continue;
            struct result r = w->run(b);
            fprintf(stderr, "%-8s %6.0f us   %7.1f Mbit/s   %7.1f Mbit/s\n", w->name, r.rtt_us, r.up, r.down);
            w->rtt[i] = r.rtt_us;
            w->up[i] = r.up;
            w->down[i] = r.down;
        }
    }
}

int main(int argc, char **argv)
{
    struct way ways[] = {{.name = "switch", .run = run_switch}, {.name = "wire", .run = run_wire},
                         {.name = "socket", .run = run_socket},
                         {.name = "vde", .run = run_vde, .absent = system("command -v vde_switch >/dev/null")},
                         {.name = "uplink", .run = run_uplink}, {.name = "user", .run = run_user}};
    int rounds = argc > 3 ? atoi(argv[3]) : 5, seconds = argc > 4 ? atoi(argv[4]) : 4;
    if (argc < 3 || rounds < 1 || rounds > ROUNDS_MAX || seconds < 1) {
        fprintf(stderr, "usage: bench_network VMLINUX INITRD [ROUNDS [SECONDS [WAY...]]]\n");
        return 2;
    }
    for (struct way *w = ways; w < ways + ARRAY_SIZE(ways); w++) {
        w->skip = argc > 5;
        for (int i = 5; i < argc; i++)
            w->skip = w->skip && strcmp(argv[i], w->name);
    }
    struct err e = ERR_INIT;
    pid_t broker_pid;
    struct bench b = {.kernel = argv[1], .seconds = (unsigned)seconds};
    signal(SIGPIPE, SIG_IGN);
    b.broker = uplink_broker_start(&broker_pid, &e);
    check(b.broker, &e);
    b.loop = loop_new();
    b.initrd_fd = make_initrd(argv[2]);
    run_rounds(ways, ARRAY_SIZE(ways), &b, rounds);
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
