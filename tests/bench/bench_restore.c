/* The host's part of a restore, from the call to the moment that the guest can run, against the start of a QEMU that does
 * nothing else, interleaved (floor and plain each come after a machine has ended):
 *
 *   bench_restore SNAPSHOT KERNEL INITRD [ROUNDS]
 *
 * floor  qemu-system-x86_64 -S -display none, from exec to its greeting
 * plain  the snapshot opened and checked, QEMU started, its state loaded
 * ahead  the same with a machine that was started ahead of need
 *
 * Medians and ratios are printed; nothing is judged. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/process.h"
#include "vm/spare.h"
#include "vm/vm.h"
#include "median.h"

#define ROUNDS_MAX 100
#define LONG       (60 * NS_PER_S)

static void check(int result, const struct err *e)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_restore: %s\n", e->message ? e->message : "failed");
    exit(1);
}

static double since(int64_t start)
{
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

static double start_floor(void)
{
    int out[2];
    char byte;
    check(pipe(out), &ERR_INIT);
    int64_t start = clock_monotonic_ns();
    pid_t pid = process_fork();
    if (!pid) {
        dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-S", "-display", "none", "-qmp", "stdio", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    check(read(out[0], &byte, 1) == 1 ? 0 : -1, &ERR_INIT);
    double ms = since(start);
    process_kill_and_reap(pid);
    close(out[0]);
    return ms;
}

static struct vm_boot boot_of(const struct snapshot_info *info, const char *kernel, const char *initrd)
{
    return (struct vm_boot){
        .agent_timeout_ns = LONG,
        .machine = {.qemu = "qemu-system-x86_64", .name = "bench", .arch = info->arch, .machine = info->machine,
                    .cpu = info->cpu, .kvm = info->kvm, .memory_bytes = info->memory_bytes, .cpus = info->cpus,
                    .cmdline = info->cmdline, .kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC),
                    .initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC), .rtc_base = "utc"},
    };
}

static double restore(struct loop *loop, const struct vm_boot *boot, const char *path, struct spare *spare)
{
    struct err e = ERR_INIT;
    struct vm *vm = vm_new(loop, "bench", "/tmp", &e);
    check(vm ? 0 : -1, &e);
    int64_t start = clock_monotonic_ns();
    struct snapshot_file *file = spare ? NULL : snapshot_file_open(path, &e);
    check(spare || file ? 0 : -1, &e);
    check(spare ? vm_restore_spare(vm, boot, spare, NULL, &e) : vm_restore_begin(vm, boot, file, NULL, &e), &e);
    check(vm_restore_load(vm, deadline_after(LONG), &e), &e);
    double ms = since(start);
    check(vm_restore_run(vm, boot, NULL, deadline_after(LONG), &e), &e);
    vm_free(vm);
    return ms;
}

int main(int argc, char **argv)
{
    double floor_ms[ROUNDS_MAX], plain_ms[ROUNDS_MAX], ahead_ms[ROUNDS_MAX];
    int rounds = argc > 4 ? atoi(argv[4]) : 7;
    struct err e = ERR_INIT;
    if (argc < 4 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_restore SNAPSHOT KERNEL INITRD [ROUNDS]\n");
        return 2;
    }
    _cleanup_(loop_freep) struct loop *loop = loop_new();
    _cleanup_(snapshot_file_freep) struct snapshot_file *file = snapshot_file_open(argv[1], &e);
    check(file ? 0 : -1, &e);
    const struct vm_boot boot = boot_of(snapshot_file_info(file), argv[2], argv[3]);
    for (int i = -1; i < rounds; i++) { /* the first round warms caches and is not counted */
        int at = i < 0 ? 0 : i;
        bool never = false;
        struct spare *spare = spare_new(loop, &boot, snapshot_file_open(argv[1], &e), false, &e);
        check(spare ? 0 : -1, &e);
        loop_wait(loop, &never, deadline_after(NS_PER_S / 2));
        ahead_ms[at] = restore(loop, &boot, argv[1], spare);
        floor_ms[at] = start_floor();
        plain_ms[at] = restore(loop, &boot, argv[1], NULL);
    }
    double f = median(floor_ms, rounds), p = median(plain_ms, rounds), a = median(ahead_ms, rounds);
    printf("host phase of a restore, medians of %d rounds\n", rounds);
    printf("  floor   %7.1f ms\n  plain   %7.1f ms   %.2f of the floor (at most 1.5)\n", f, p, p / f);
    printf("  ahead   %7.1f ms   %.2f of the floor (at most 0.5)\n", a, a / f);
    return 0;
}
