/* Cold boot to the first result of vm:run("true"), against two floors in the same run, interleaved:
 *
 *   bench_boot PROVIUM VMLINUX BZIMAGE INITRD FLOOR_INIT [ROUNDS]
 *
 * floor  provium's own QEMU command line and kernel, an initrd with nothing but an init that writes one byte
 * plain  qemu-system-x86_64 -M q35 -m 512 -nographic -kernel BZIMAGE -initrd INITRD+init, everything else default
 *
 * Both are timed from exec to that byte. Provium's time is the test's own, from boot to the result. Medians and ratios
 * are printed; nothing is judged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"
#include "initrd/cpio.h"
#include "vm/command_line.h"
#include "median.h"

#define ROUNDS_MAX 100

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        die(path);
    return fd;
}

/* An archive with /dev/console and the init at `name`, after the contents of `base` (NULL: nothing). */
static int make_initrd(const char *base, const char *init, const char *name)
{
    _cleanup_buf_ struct buf out = BUF_INIT(256 << 20), binary = BUF_INIT(1 << 20);
    if ((base && file_read(base, &out, NULL) < 0) || file_read(init, &binary, NULL) < 0)
        die(init);
    while (out.len % 4)
        buf_append_byte(&out, 0);
    cpio_append(&out, &(struct cpio_entry){.name = "dev", .inode = 1, .mode = S_IFDIR | 0755, .links = 2}, NULL);
    cpio_append(&out,
                &(struct cpio_entry){.name = "dev/console", .inode = 2, .mode = S_IFCHR | 0600, .links = 1,
                                     .rdev_major = 5, .rdev_minor = 1}, NULL);
    cpio_append(&out,
                &(struct cpio_entry){.name = name, .inode = 3, .mode = S_IFREG | 0755, .links = 1,
                                     .size = (uint32_t)binary.len}, buf_head(&binary));
    cpio_finish(&out);
    int fd = memfd_create("initrd", 0);
    if (write_full(fd, buf_head(&out), out.len) < 0)
        die("memfd");
    return fd;
}

/* Milliseconds until the byte arrives at `fd`. */
static double wait_byte(int fd, int64_t start)
{
    char chunk[4096];
    ssize_t got;
    while ((got = read(fd, chunk, sizeof(chunk))) > 0)
        if (memchr(chunk, 1, (size_t)got))
            return (double)(clock_monotonic_ns() - start) / 1e6;
    fprintf(stderr, "bench_boot: the guest ended without a word\n");
    exit(1);
}

static double boot_floor(const char *kernel, int initrd_fd)
{
    int console[2], qmp[2], agent[2], isa[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, console) || socketpair(AF_UNIX, SOCK_STREAM, 0, qmp) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, agent) || socketpair(AF_UNIX, SOCK_STREAM, 0, isa))
        die("socketpair");
    int kernel_fd = open_file(kernel);
    const struct machine m = {.qemu = "qemu-system-x86_64", .name = "floor", .arch = "x86_64", .memory_fd = -1, .state_fd = -1,
                              .memory_bytes = 512 << 20,
                              .cpus = 1, .cmdline = "console=ttyS0 quiet panic=-1", .kernel_fd = kernel_fd,
                              .initrd_fd = initrd_fd, .qmp_fd = qmp[1], .console_fd = console[1],
                              .agent_fd = agent[1], .agent_isa_fd = isa[1], .rtc_base = "utc"};
    _cleanup_strv_ struct strv argv = STRV_INIT;
    machine_command_line(&m, &argv);
    int64_t start = clock_monotonic_ns();
    pid_t pid = process_fork();
    if (!pid) {
        execvp(argv.items[0], argv.items);
        _exit(127);
    }
    double ms = wait_byte(console[0], start);
    process_kill_and_reap(pid);
    int fds[] = {console[0], console[1], qmp[0], qmp[1], agent[0], agent[1], isa[0], isa[1], kernel_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        close(fds[i]);
    return ms;
}

static double boot_plain(const char *bzimage, int initrd_fd)
{
    int out[2];
    char initrd[64];
    if (pipe(out) < 0)
        die("pipe");
    snprintf(initrd, sizeof(initrd), "/proc/self/fd/%d", initrd_fd);
    int64_t start = clock_monotonic_ns();
    pid_t pid = process_fork();
    if (!pid) {
        dup2(out[1], STDOUT_FILENO);
        int null_fd = open("/dev/null", O_RDONLY);
        dup2(null_fd, STDIN_FILENO);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M", "q35", "-m", "512", "-nographic", "-kernel", bzimage,
               "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    double ms = wait_byte(out[0], start);
    process_kill_and_reap(pid);
    close(out[0]);
    return ms;
}

/* The test prints its own milliseconds. */
static double boot_provium(const char *provium, const char *suite)
{
    _cleanup_free_ char *command = xasprintf("'%s' --json -q '%s' 2>/dev/null", provium, suite);
    FILE *pipe = popen(command, "r");
    char line[65536];
    double ms = -1;
    while (pipe && fgets(line, sizeof(line), pipe)) {
        char *at = strstr(line, "\"status\":\"passed\"");
        char *duration = at ? strstr(at, "\"duration_ms\":") : NULL;
        if (duration)
            ms = atof(duration + strlen("\"duration_ms\":"));
    }
    if (pipe)
        pclose(pipe);
    if (ms < 0) {
        fprintf(stderr, "bench_boot: %s: the test did not pass\n", command);
        exit(1);
    }
    return ms;
}

int main(int argc, char **argv)
{
    static const char suite_text[] =
        "test('boot', function() provium:vm('a', 'default'):boot():run('true'):assert_ok() end)\n";
    double floor_ms[ROUNDS_MAX], plain_ms[ROUNDS_MAX], provium_ms[ROUNDS_MAX];
    int rounds = argc > 6 ? atoi(argv[6]) : 7;
    if (argc < 6 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_boot PROVIUM VMLINUX BZIMAGE INITRD FLOOR_INIT [ROUNDS]\n");
        return 2;
    }
    char suite[] = "/tmp/bench-boot-XXXXXX.test.lua";
    int fd = mkstemps(suite, 9);
    if (fd < 0 || write_full(fd, suite_text, sizeof(suite_text) - 1) < 0)
        die(suite);
    close(fd);
    int floor_initrd = make_initrd(NULL, argv[5], "init"), plain_initrd = make_initrd(argv[4], argv[5], "init");
    for (int i = -1; i < rounds; i++) { /* the first round warms caches and is not counted */
        int at = i < 0 ? 0 : i;
        floor_ms[at] = boot_floor(argv[2], floor_initrd);
        plain_ms[at] = boot_plain(argv[3], plain_initrd);
        provium_ms[at] = boot_provium(argv[1], suite);
    }
    unlink(suite);
    double f = median(floor_ms, rounds), p = median(plain_ms, rounds), v = median(provium_ms, rounds);
    printf("cold boot, medians of %d rounds\n", rounds);
    printf("  floor    %7.0f ms\n  plain    %7.0f ms\n  provium  %7.0f ms\n", f, p, v);
    printf("  provium / floor  %.2f   (at most 1.15)\n  provium / plain  %.2f   (at most 0.85)\n", v / f, v / p);
    return 0;
}
