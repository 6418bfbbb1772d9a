/* Round trips and throughput of the agent against a raw echo over a virtio port of the same guest, in one run.
 *
 *   bench_agent KERNEL INITRD [QEMU-ARG…]
 *
 * The initrd has to hold the agent at /sbin/provium-agent, no /init, and a shell with `cat`. The floor: one byte (or
 * blocks) written to a second port, on which `cat` in the guest echoes. No thresholds here; the caller compares. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "guest/batch.h"
#include "guest/exec.h"
#include "guest/files.h"
#include "guest/kernel.h"
#include "guest/process.h"
#include "guest/tail.h"

#define ROUNDS 500
#define BULK   (64 * 1024 * 1024)

static pid_t start_qemu(char **argv, int agent_fd, int echo_fd)
{
    char chardevs[2][64];
    const char *fixed[] = {
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults", "-nographic",
        "-serial", "null", "-no-reboot", "-append",
        "quiet panic=-1 rdinit=/sbin/provium-agent", "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=a,name=org.provium.agent", "-device",
        "virtserialport,chardev=b,name=echo", "-chardev", chardevs[0], "-chardev", chardevs[1],
        "-kernel", argv[1], "-initrd", argv[2]};
    size_t n = ARRAY_SIZE(fixed), more = 0;
    while (argv[3 + more])
        more++;
    const char **all = xnewa(const char *, n + more + 1);
    memcpy(all, fixed, sizeof(fixed));
    memcpy(all + n, argv + 3, more * sizeof(*all));
    snprintf(chardevs[0], sizeof(chardevs[0]), "socket,id=a,fd=%d", agent_fd);
    snprintf(chardevs[1], sizeof(chardevs[1]), "socket,id=b,fd=%d", echo_fd);
    pid_t pid = fork();
    if (!pid) {
        fd_set_cloexec(agent_fd, false);
        fd_set_cloexec(echo_fd, false);
        execvp(all[0], (char **)all);
        _exit(127);
    }
    free(all);
    return pid;
}

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "bench_agent: %s: %s\n", what, err_message(e));
    exit(1);
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static int64_t percentile(int64_t *ns, int part)
{
    qsort(ns, ROUNDS, sizeof(*ns), compare);
    return ns[ROUNDS * part / 100];
}

/* Sends `total` bytes through the echo and takes them back. */
static void echo(int fd, size_t total)
{
    static uint8_t block[65536];
    size_t sent = 0, got = 0;
    while (got < total) {
        struct pollfd p = {.fd = fd, .events = (short)(POLLIN | (sent < total ? POLLOUT : 0))};
        poll(&p, 1, -1);
        if (p.revents & POLLOUT) {
            size_t n = total - sent < sizeof(block) ? total - sent : sizeof(block);
            ssize_t done = send(fd, block, n, MSG_DONTWAIT);
            sent += done > 0 ? (size_t)done : 0;
        }
        if (p.revents & POLLIN) {
            ssize_t n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
            got += n > 0 ? (size_t)n : 0;
        }
    }
}

static void do_ping(struct guest *g)
{
    struct err e = ERR_INIT;
    if (guest_ping(g, DEADLINE_NONE, &e) < 0)
        die("ping", &e);
}

static void do_stat(struct guest *g)
{
    struct err e = ERR_INIT;
    struct guest_stat st;
    if (guest_stat(g, "/", true, &st, DEADLINE_NONE, &e) < 0)
        die("stat", &e);
}

static void do_run(struct guest *g)
{
    struct err e = ERR_INIT;
    const char *argv[] = {"true", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    c.argv = argv;
    if (guest_run(g, &c, &r, DEADLINE_NONE, &e) < 0)
        die("run", &e);
    guest_result_done(&r);
}

static void do_write(struct guest *g)
{
    struct err e = ERR_INIT;
    static uint8_t data[BULK];
    if (guest_write_file(g, "/bulk", data, BULK, -1, DEADLINE_NONE, &e) < 0)
        die("write_file", &e);
}

static void do_read(struct guest *g)
{
    struct err e = ERR_INIT;
    struct buf back = BUF_INIT(GUEST_FILE_MAX);
    if (guest_read_file(g, "/bulk", &back, DEADLINE_NONE, &e) < 0)
        die("read_file", &e);
    buf_done(&back);
}

/* Takes turns with the echo, so that both see the same load of the machine. */
static void latency(const char *name, void (*fn)(struct guest *), struct guest *g, int echo_fd)
{
    static int64_t floor[ROUNDS], ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t start = clock_monotonic_ns();
        echo(echo_fd, 1);
        int64_t middle = clock_monotonic_ns();
        fn(g);
        ns[i] = clock_monotonic_ns() - middle;
        floor[i] = middle - start;
    }
    double base = (double)percentile(floor, 50), mine = (double)percentile(ns, 50);
    printf("%-16s p50 %8.1f us  p99 %8.1f us  echo p50 %7.1f us  ratio %.2f\n", name, mine / 1e3,
           (double)percentile(ns, 99) / 1e3, base / 1e3, mine / base);
}

/* The best of a few turns each. */
static void throughput(const char *name, void (*fn)(struct guest *), struct guest *g, int echo_fd)
{
    int64_t floor = INT64_MAX, best = INT64_MAX;
    for (int i = 0; i < 4; i++) {
        int64_t start = clock_monotonic_ns();
        echo(echo_fd, BULK);
        int64_t middle = clock_monotonic_ns(), end;
        fn(g);
        end = clock_monotonic_ns();
        floor = middle - start < floor ? middle - start : floor;
        best = end - middle < best ? end - middle : best;
    }
    printf("%-16s %7.1f MB/s  echo %7.1f MB/s  ratio %.2f\n", name, BULK / ((double)best / 1e3),
           BULK / ((double)floor / 1e3), (double)floor / (double)best);
}

static void do_syscall(struct guest *g)
{
    struct err e = ERR_INIT;
    struct guest_syscall s = {.nr = SYS_getpid};
    struct guest_syscall_result r;
    if (guest_syscall(g, NULL, &s, &r, DEADLINE_NONE, &e) < 0)
        die("syscall", &e);
    guest_syscall_result_done(&r);
}

static struct guest_process *start(struct guest *g, const char *command)
{
    struct err e = ERR_INIT;
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    c.argv = argv;
    struct guest_process *p = guest_process_start(g, NULL, 0, &c, DEADLINE_NONE, &e);
    if (!p)
        die(command, &e);
    return p;
}

/* What a process writes, through its stream. */
static void do_stream(struct guest *g)
{
    struct err e = ERR_INIT;
    struct guest_process *p = start(g, "dd if=/dev/zero bs=64k count=1024 2>/dev/null");
    struct stream *s = guest_process_stream(p, 0);
    struct buf frame = BUF_INIT(0);
    size_t got = 0;
    while (stream_next(s, DEADLINE_NONE, &frame, &e) > 0)
        got += frame.len;
    buf_done(&frame);
    stream_free(s);
    guest_process_free(p);
    if (got != BULK)
        die("stream", &e);
}

/* A file that is there, through a tail. */
static void do_tail(struct guest *g)
{
    struct err e = ERR_INIT;
    struct stream *s = guest_tail(g, "/bulk", 0, false, GUEST_WINDOW_DEFAULT, DEADLINE_NONE, &e);
    struct buf frame = BUF_INIT(0);
    if (!s)
        die("tail", &e);
    for (size_t got = 0; got < BULK && stream_next(s, DEADLINE_NONE, &frame, &e) > 0;)
        got += frame.len;
    buf_done(&frame);
    stream_free(s);
}

static void batch(struct guest *g)
{
    struct err e = ERR_INIT;
    int64_t begun = clock_monotonic_ns();
    for (int i = 0; i < 1000; i++)
        do_stat(g);
    int64_t middle = clock_monotonic_ns();
    struct guest_batch *b = guest_batch_new(g);
    for (int i = 0; i < 1000; i++)
        guest_batch_stat(b, "/", true);
    if (guest_batch_wait(b, DEADLINE_NONE, &e) < 0)
        die("batch", &e);
    int64_t end = clock_monotonic_ns();
    guest_batch_free(b);
    printf("1000 stats       one by one %.1f ms, in a batch %.1f ms, %.1f times faster\n",
           (double)(middle - begun) / 1e6, (double)(end - middle) / 1e6,
           (double)(middle - begun) / (double)(end - middle));
}

static void processes(struct guest *g)
{
    enum { COUNT = 100 };
    struct guest_process *all[COUNT];
    struct guest_result r;
    struct err e = ERR_INIT;
    int64_t begun = clock_monotonic_ns();
    for (int i = 0; i < COUNT; i++)
        do_run(g);
    int64_t middle = clock_monotonic_ns();
    for (int i = 0; i < COUNT; i++)
        all[i] = start(g, "read x");
    for (int i = 0; i < COUNT; i++) {
        if (guest_process_close_stdin(all[i], DEADLINE_NONE, &e) < 0 ||
            guest_process_wait(all[i], DEADLINE_NONE, DEADLINE_NONE, &r, &e) < 0)
            die("run_async", &e);
        guest_process_free(all[i]);
    }
    printf("100 processes    one by one %.1f ms, at the same time %.1f ms\n", (double)(middle - begun) / 1e6,
           (double)(clock_monotonic_ns() - middle) / 1e6);
}

static void measure(struct guest *g, int echo_fd)
{
    latency("ping", do_ping, g, echo_fd);
    latency("stat", do_stat, g, echo_fd);
    latency("syscall getpid", do_syscall, g, echo_fd);
    latency("run true", do_run, g, echo_fd);
    throughput("write_file", do_write, g, echo_fd);
    throughput("read_file", do_read, g, echo_fd);
    throughput("process stream", do_stream, g, echo_fd);
    throughput("tail_file", do_tail, g, echo_fd);
    batch(g);
    processes(g);
}

static void show_memory(struct guest *g)
{
    struct err e = ERR_INIT;
    _cleanup_buf_ struct buf status = BUF_INIT(GUEST_FILE_MAX);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%llu/status", (unsigned long long)guest_agent(g)->pid);
    if (guest_read_file(g, path, &status, DEADLINE_NONE, &e) < 0)
        die("status", &e);
    _cleanup_free_ char *text = buf_steal_str(&status);
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
        if (!strncmp(line, "VmRSS", 5) || !strncmp(line, "VmHWM", 5) || !strncmp(line, "Threads", 7))
            printf("%s\n", line);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int agent[2], port[2];
    struct err e = ERR_INIT;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_agent KERNEL INITRD [QEMU-ARG...]\n");
        return 2;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, agent) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, port) < 0)
        return 1;
    struct loop *loop = loop_new();
    struct guest *g = guest_new(loop, agent[0], -1);
    int64_t start = clock_monotonic_ns();
    pid_t pid = start_qemu(argv, agent[1], port[1]);
    close(agent[1]);
    close(port[1]);
    if (guest_wait_ready(g, deadline_after(120 * NS_PER_S), &e) < 0)
        die("boot", &e);
    printf("ready after %.2f s: %s %s, %s\n", (double)(clock_monotonic_ns() - start) / 1e9,
           guest_agent(g)->system, guest_agent(g)->features, guest_agent(g)->version);
    show_memory(g);
    const char *echo_argv[] = {"/bin/sh", "-c",
                               "for p in /sys/class/virtio-ports/*; do"
                               " [ \"$(cat $p/name)\" = echo ] && port=/dev/${p##*/}; done;"
                               " setsid cat <>$port >&0 2>/dev/null & ", NULL};
    struct guest_command c = GUEST_COMMAND_INIT;
    struct guest_result r;
    c.argv = echo_argv;
    if (guest_run(g, &c, &r, DEADLINE_NONE, &e) < 0)
        die("echo", &e);
    guest_result_done(&r);
    measure(g, port[0]);
    show_memory(g);
    guest_free(g);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    loop_free(loop);
    return 0;
}
