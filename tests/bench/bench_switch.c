/* The switch process against a process that copies the same bytes from one socket pair to another.
 *
 * Three processes each time: a writer, the one under test, a reader. The frames, their framing, the
 * batches and the window of frames under way are the same, so what differs is what the middle does.
 * What counts is the CPU time of the middle per frame (frames/s of a processor to itself): the wall
 * clock would measure the machine's other work, too. Rounds alternate, and the median of their ratios
 * counts. Then: cost by number of ports, latency per hop, what a flood on one bridge does to
 * another, and a delay line at full rate with its memory.
 *
 *   bench_switch [SECONDS]     seconds per round, default 1 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "network/network.h"
#include "median.h"
#include "switch/bytes.h"

#define WINDOW    2048 /* frames between writer and reader: below the port queue, so that nothing is dropped */
#define ROUNDS    7
#define PORTS_MAX 65
#define FLOOR  0.8

struct shared {
    _Atomic uint64_t received; /* frames */
    _Atomic bool stop;
};

static struct shared *shared;
static double seconds = 1;

struct load {
    size_t size;  /* of a frame */
    size_t batch; /* frames per write */
    bool endless; /* no window: as fast as it goes */
};

static void fill_frame(uint8_t *to, size_t size, const uint8_t *destination, const uint8_t *source)
{
    put32(to, (uint32_t)size);
    memset(to + 4, 0x5a, size);
    memcpy(to + 4, destination, 6);
    memcpy(to + 10, source, 6);
}

static void run_writer(int fd, const struct load *l, const uint8_t *to, const uint8_t *from)
{
    size_t stride = l->size + 4;
    uint8_t *batch = xmalloc(l->batch * stride);
    for (size_t i = 0; i < l->batch; i++)
        fill_frame(batch + i * stride, l->size, to, from);
    for (uint64_t sent = 0; !shared->stop; sent += l->batch) {
        while (!l->endless && sent + l->batch - shared->received > WINDOW && !shared->stop)
            sched_yield();
        if (write_full(fd, batch, l->batch * stride) < 0)
            break;
    }
    _exit(0);
}

static void run_reader(int fd, size_t size)
{
    static uint8_t buffer[256 << 10];
    uint64_t bytes = 0;
    ssize_t n;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        bytes += (uint64_t)n;
        shared->received = bytes / (size + 4);
    }
    _exit(0);
}

static void run_copy(int from, int to)
{
    static uint8_t buffer[128 << 10];
    ssize_t n;
    while ((n = read(from, buffer, sizeof(buffer))) > 0)
        if (write_full(to, buffer, (size_t)n) < 0)
            break;
    _exit(0);
}

static pid_t start(void)
{
    fflush(stdout);
    return fork();
}

/* CPU time that a process has used. */
static double cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t) < 0)
        return 0;
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* All on one processor: who runs beside whom, and whose cache lines travel, is not left to chance. */
static void pin(pid_t pid)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(pid, sizeof(set), &set);
}

/* Nanoseconds of the middle's CPU per frame from `in` to `out`. */
static double measure(int in, int out, pid_t middle, const struct load *l, const uint8_t *to,
                      const uint8_t *from)
{
    shared->received = 0;
    shared->stop = false;
    pid_t reader = start();
    if (!reader)
        run_reader(out, l->size);
    pid_t writer = start();
    if (!writer)
        run_writer(in, l, to, from);
    pin(reader);
    pin(writer);
    pin(middle);
    usleep(50000); /* both are under way */
    uint64_t before = shared->received;
    double begin = cpu_ns(middle);
    usleep((useconds_t)(seconds * 1e6));
    double cost = (cpu_ns(middle) - begin) / (double)(shared->received - before);
    shared->stop = true;
    waitpid(writer, NULL, 0);
    usleep(20000);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    return cost;
}

static double measure_copy(const struct load *l)
{
    int a[2], b[2];
    static const uint8_t mac[6] = {2};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, b) < 0)
        exit(2);
    pid_t copy = start();
    if (!copy)
        run_copy(a[1], b[0]);
    double cost = measure(a[0], b[1], copy, l, mac, mac);
    kill(copy, SIGKILL);
    waitpid(copy, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
    return cost;
}

/* The switch process: our only child between measurements. */
static pid_t find_switch(void)
{
    _cleanup_buf_ struct buf children = BUF_INIT(4096);
    if (file_read("/proc/thread-self/children", &children, NULL) < 0)
        exit(2);
    _cleanup_free_ char *text = buf_steal_str(&children);
    return atoi(text);
}

struct lab {
    struct loop *loop;
    struct network *n;
    struct bridge_info bridge;
    struct member_info members[PORTS_MAX];
    int fds[PORTS_MAX];
};

static void check(int result, struct err *e)
{
    if (result < 0) {
        fprintf(stderr, "%s\n", err_message(e));
        exit(2);
    }
}

static void lab_start(struct lab *l, unsigned ports)
{
    _cleanup_err_ struct err e = ERR_INIT;
    l->loop = loop_new();
    l->n = network_start(l->loop, -1, &e);
    check(l->n ? 0 : -1, &e);
    check(network_bridge_new(l->n, "bench", &(struct bridge_options){.raw = true}, &l->bridge, &e),
          &e);
    for (unsigned i = 0; i < ports; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%u", i);
        check(network_attach(l->n, l->bridge.id, &(struct member_request){name, i + 1}, 1,
                             &l->members[i], &e),
              &e);
        check(network_connect(l->n, l->bridge.id, name, &l->fds[i], &e), &e);
    }
    for (unsigned i = 0; i < ports; i++) { /* each MAC is learned; floods are read away */
        uint8_t frame[64 + 4], sink[64 + 4];
        static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};
        fill_frame(frame, 64, everybody, l->members[i].mac);
        write_full(l->fds[i], frame, sizeof(frame));
        for (unsigned k = 0; k < ports; k++)
            if (k != i)
                read_full(l->fds[k], sink, sizeof(sink));
    }
}

static void lab_stop(struct lab *l, unsigned ports)
{
    network_free(l->n);
    loop_free(l->loop);
    for (unsigned i = 0; i < ports; i++)
        close(l->fds[i]);
}

static double measure_switch(const struct load *load, unsigned ports)
{
    struct lab l;
    lab_start(&l, ports);
    double cost =
        measure(l.fds[0], l.fds[1], find_switch(), load, l.members[1].mac, l.members[0].mac);
    struct bridge_stats stats;
    check(network_bridge_stats(l.n, l.bridge.id, &stats, NULL), NULL);
    if (stats.dropped_queue)
        printf("    (%lu frames dropped)\n", (unsigned long)stats.dropped_queue);
    lab_stop(&l, ports);
    return cost;
}

static bool compare(const struct load *l)
{
    double copy[ROUNDS], through[ROUNDS], ratios[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        copy[i] = measure_copy(l);
        through[i] = measure_switch(l, 2);
        ratios[i] = copy[i] / through[i];
    }
    double ratio = median(ratios, ROUNDS), copied = median(copy, ROUNDS),
           passed = median(through, ROUNDS);
    printf("%4zu bytes, %2zu per write: copy %6.1f ns (%5.2f Mframes/s), switch %6.1f ns (%5.2f "
           "Mframes/s), "
           "ratio %.2f (floor %.2f)\n",
           l->size, l->batch, copied, 1e3 / copied, passed, 1e3 / passed, ratio, FLOOR);
    return ratio >= FLOOR;
}

/* Round trips of a 64-byte frame, in nanoseconds. */
static double measure_latency(int here, int there, const uint8_t *mac_here,
                              const uint8_t *mac_there)
{
    uint8_t frame[64 + 4];
    enum { TRIPS = 5000 };
    pid_t echo = start();
    if (!echo) {
        while (read_full(there, frame, sizeof(frame)) == sizeof(frame)) {
            fill_frame(frame, 64, mac_here, mac_there);
            write_full(there, frame, sizeof(frame));
        }
        _exit(0);
    }
    int64_t begin = clock_monotonic_ns();
    for (int i = 0; i < TRIPS; i++) {
        fill_frame(frame, 64, mac_there, mac_here);
        write_full(here, frame, sizeof(frame));
        read_full(here, frame, sizeof(frame));
    }
    double ns = (double)(clock_monotonic_ns() - begin) / TRIPS;
    kill(echo, SIGKILL);
    waitpid(echo, NULL, 0);
    return ns;
}

static void latency(void)
{
    struct lab l;
    int pair[2];
    static const uint8_t mac[6] = {2};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        exit(2);
    double direct = measure_latency(pair[0], pair[1], mac, mac);
    lab_start(&l, 2);
    double through = measure_latency(l.fds[0], l.fds[1], l.members[0].mac, l.members[1].mac);
    lab_stop(&l, 2);
    close(pair[0]);
    close(pair[1]);
    printf("round trip: direct %.1f us, through the switch %.1f us: %.1f us per hop\n",
           direct / 1e3, through / 1e3, (through - direct) / 2e3);
}

/* A guest that sends the smallest broadcasts without end to 64 ports of its bridge, and a round
 * trip on another. */
static void neighbours(void)
{
    struct lab l;
    int fds[2];
    struct bridge_info quiet;
    struct member_info members[2];
    static const struct member_request names[2] = {{"x", 101}, {"y", 102}};
    static const uint8_t everybody[6] = {255, 255, 255, 255, 255, 255};
    lab_start(&l, 64);
    check(network_bridge_new(l.n, "quiet", &(struct bridge_options){.raw = true}, &quiet, NULL),
          NULL);
    check(network_attach(l.n, quiet.id, names, 2, members, NULL), NULL);
    for (int i = 0; i < 2; i++)
        check(network_connect(l.n, quiet.id, names[i].name, &fds[i], NULL), NULL);
    double before = measure_latency(fds[0], fds[1], members[0].mac, members[1].mac);
    shared->stop = false;
    pid_t writer = start();
    if (!writer)
        run_writer(l.fds[0], &(struct load){14, 64, true}, everybody, l.members[0].mac);
    double during = measure_latency(fds[0], fds[1], members[0].mac, members[1].mac);
    shared->stop = true;
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    printf("round trip on another bridge: %.1f us, while a guest floods 64 ports %.1f us\n",
           before / 1e3, during / 1e3);
    close(fds[0]);
    close(fds[1]);
    lab_stop(&l, 64);
}

/* In MiB. */
static double peak_memory(pid_t pid)
{
    _cleanup_buf_ struct buf status = BUF_INIT(65536);
    _cleanup_free_ char *path = xasprintf("/proc/%d/status", pid);
    if (file_read(path, &status, NULL) < 0)
        return 0;
    _cleanup_free_ char *all = buf_steal_str(&status);
    const char *peak = strstr(all, "VmHWM:");
    return peak ? atof(peak + 6) / 1024 : 0;
}

/* How late frames of a 20 ms line arrive. */
static void punctuality(void)
{
    enum { FRAMES = 100 };
    struct lab l;
    double late[FRAMES];
    uint8_t frame[64 + 4];
    struct impairment rule = {.set = IMPAIR_LATENCY, .latency = 20 * NS_PER_MS};
    lab_start(&l, 2);
    check(network_impair(l.n, l.bridge.id, &rule, NULL), NULL);
    for (int i = 0; i < FRAMES; i++) {
        fill_frame(frame, 64, l.members[1].mac, l.members[0].mac);
        int64_t begin = clock_monotonic_ns();
        write_full(l.fds[0], frame, sizeof(frame));
        read_full(l.fds[1], frame, sizeof(frame));
        late[i] = (double)(clock_monotonic_ns() - begin - rule.latency) / 1e3;
    }
    lab_stop(&l, 2);
    double middle = median(late, FRAMES);
    printf("20 ms of latency: late by %.0f us (median), %.0f us (worst of %d)\n", middle,
           late[FRAMES - 1], FRAMES);
}

static void delay_line(void)
{
    struct lab l;
    struct bridge_stats stats;
    struct impairment rule = {.set = IMPAIR_LATENCY, .latency = 50 * NS_PER_MS};
    lab_start(&l, 2);
    check(network_impair(l.n, l.bridge.id, &rule, NULL), NULL);
    shared->stop = false;
    pid_t middle = find_switch();
    pid_t reader = start();
    if (!reader) {
        static uint8_t buffer[256 << 10];
        while (read(l.fds[1], buffer, sizeof(buffer)) > 0)
            ;
        _exit(0);
    }
    pid_t writer = start();
    if (!writer)
        run_writer(l.fds[0], &(struct load){1500, 64, true}, l.members[1].mac, l.members[0].mac);
    usleep((useconds_t)(seconds * 2e6));
    shared->stop = true;
    waitpid(writer, NULL, 0);
    check(network_bridge_stats(l.n, l.bridge.id, &stats, NULL), NULL);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    printf("50 ms delay line: %.2f Gbit/s in, %.0f%% delivered, peak memory %.0f MiB (64 held + 16 "
           "queued)\n",
           (double)stats.bytes * 8 / seconds / 2e9,
           100.0 * (double)stats.delivered / (double)stats.frames, peak_memory(middle));
    lab_stop(&l, 2);
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = {1, 8, 64};
    static const struct load loads[] = {{64, 64, false},
                                        {1500, 64, false},
                                        {64, 1, false},
                                        {1500, 1, false}}; /* QEMU writes each by itself */
    if (argc > 1)
        seconds = atof(argv[1]);
    signal(SIGPIPE, SIG_IGN);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool ok = true;
    for (size_t i = 0; i < ARRAY_SIZE(loads); i++)
        ok = compare(&loads[i]) && ok;
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        printf("%2u ports beside the sender's: %.1f ns per frame of 64 bytes\n", counts[i],
               measure_switch(&loads[0], counts[i] + 1));
    latency();
    neighbours();
    punctuality();
    delay_line();
    return ok ? 0 : 1;
}
