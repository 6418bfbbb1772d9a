/* The machine is built and run in a child process, because a KVM that does not work may also not
 * return; the parent waits with a deadline and kills. Guest memory is shared with the parent, which
 * reads from it how far the loop came. The limit separates hardware from emulation by a wide margin
 * on either side: the loop takes about 20 ms on hardware, and 20 s on a software KVM that emulates
 * what it cannot run. */
#include "vm/accel_kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"
#include "vm/accel_guest.h"

#define SETUP_LIMIT   (5 * NS_PER_S)
#define LOOP_LIMIT    NS_PER_S
#define CPUID_ENTRIES 256
#define TSS_ADDRESS                                                                                \
    0xfffbd000 /* three pages below 4 GiB that Intel needs, out of the memory's way */

extern const uint8_t trial_code[], trial_code_end[];

/* From the child, in this order. */
enum report_kind { REPORT_STARTED, REPORT_DONE, REPORT_FAILED };
struct report {
    enum report_kind kind;
    char text[200];
};

struct trial {
    int device, vm, vcpu;
    uint8_t *memory;
    struct kvm_run *run;
};

static void store(const struct trial *t, size_t address, uint64_t value)
{
    memcpy(t->memory + address, &value, sizeof(value));
}

static void fill_memory(const struct trial *t)
{
    static const uint64_t present = 0x3, large = 0x80, code64 = 0x00af9a000000ffff,
                          data = 0x00cf92000000ffff;
    store(t, TRIAL_PML4, TRIAL_PDPT | present);
    store(t, TRIAL_PDPT, TRIAL_PD | present);
    store(t, TRIAL_PD, present | large);
    store(t, TRIAL_PD + 8, 0x200000 | present | large);
    store(t, TRIAL_GDT + TRIAL_CODE_SELECTOR, code64);
    store(t, TRIAL_GDT + TRIAL_DATA_SELECTOR, data);
    store(t, TRIAL_GDTR, (uint64_t)TRIAL_GDT << 16 | 23);
    memcpy(t->memory + TRIAL_CODE, trial_code, (size_t)(trial_code_end - trial_code));
}

static int create_machine(struct trial *t, struct err *e)
{
    struct kvm_userspace_memory_region region = {.memory_size = TRIAL_MEMORY,
                                                 .userspace_addr = (uintptr_t)t->memory};
    t->vm = ioctl(t->device, KVM_CREATE_VM, 0);
    if (t->vm < 0)
        return err_errno(e, "KVM cannot create a virtual machine");
    ioctl(t->vm, KVM_SET_TSS_ADDR, TSS_ADDRESS); /* absent on AMD */
    if (ioctl(t->vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
        ioctl(t->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return err_errno(e, "KVM cannot set up a virtual machine");
    t->vcpu = ioctl(t->vm, KVM_CREATE_VCPU, 0);
    int size = ioctl(t->device, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (t->vcpu < 0 || size < 0)
        return err_errno(e, "KVM cannot create a virtual CPU");
    t->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu, 0);
    if (t->run == MAP_FAILED)
        return err_errno(e, "KVM cannot create a virtual CPU");
    return 0;
}

static int copy_cpuid(const struct trial *t)
{
    _cleanup_free_ struct kvm_cpuid2 *cpuid =
        xcalloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
    cpuid->nent = CPUID_ENTRIES;
    if (ioctl(t->device, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
        return -1;
    return ioctl(t->vcpu, KVM_SET_CPUID2, cpuid);
}

/* Flat 32-bit protected mode without paging. */
static int set_registers(const struct trial *t, struct err *e)
{
    struct kvm_segment flat = {.limit = UINT32_MAX, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_regs registers = {.rip = TRIAL_CODE, .rflags = 2};
    struct kvm_sregs system;
    if (copy_cpuid(t) < 0 || ioctl(t->vcpu, KVM_GET_SREGS, &system) < 0)
        return err_errno(e, "KVM cannot set up a virtual CPU");
    system.cr0 = 0x11; /* PE, ET */
    system.cs = flat;
    system.cs.selector = TRIAL_CODE_SELECTOR;
    system.cs.type = 11; /* execute, read, accessed */
    flat.selector = TRIAL_DATA_SELECTOR;
    flat.type = 3; /* read, write, accessed */
    system.ds = system.es = system.fs = system.gs = system.ss = flat;
    if (ioctl(t->vcpu, KVM_SET_SREGS, &system) < 0 || ioctl(t->vcpu, KVM_SET_REGS, &registers) < 0)
        return err_errno(e, "KVM cannot set up a virtual CPU");
    return 0;
}

/* Runs until the guest writes to `port`. */
static int run_until(const struct trial *t, unsigned port, struct err *e)
{
    int rc;
    do
        rc = ioctl(t->vcpu, KVM_RUN, 0);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return err_errno(e, "KVM cannot run a guest");
    if (t->run->exit_reason != KVM_EXIT_IO || t->run->io.port != port)
        return err_set(e, EIO, "KVM stopped a guest early (exit reason %u)", t->run->exit_reason);
    return 0;
}

static void send_report(int to, enum report_kind kind, const char *text)
{
    struct report r = {.kind = kind};
    snprintf(r.text, sizeof(r.text), "%s", text);
    if (write_full(to, &r, sizeof(r)) < 0)
        _exit(1);
}

/* Process: child. */
static void run_child(struct trial *t, int to) __attribute__((noreturn));
static void run_child(struct trial *t, int to)
{
    struct err e = ERR_INIT;
    fill_memory(t);
    int rc = create_machine(t, &e) < 0 || set_registers(t, &e) < 0 ||
             run_until(t, TRIAL_PORT_STARTED, &e) < 0;
    if (!rc) {
        send_report(to, REPORT_STARTED, "");
        rc = run_until(t, TRIAL_PORT_DONE, &e);
    }
    send_report(to, rc ? REPORT_FAILED : REPORT_DONE, rc ? err_message(&e) : "");
    _exit(0);
}

/* The next report before the deadline; 0, or -1 with errno (EPIPE: the child ended). */
static int await_report(int from, int64_t deadline, struct report *r)
{
    struct pollfd p = {.fd = from, .events = POLLIN};
    int ready;
    do
        ready = poll(&p, 1, deadline_poll_ms(deadline));
    while (ready < 0 && errno == EINTR);
    if (ready == 0)
        errno = ETIMEDOUT;
    if (ready <= 0)
        return -1;
    if (read_full(from, r, sizeof(*r)) == sizeof(*r))
        return 0;
    errno = EPIPE;
    return -1;
}

/* The child was in the loop for `ns` when its time was up. */
static int too_slow(const struct trial *t, int64_t ns, struct err *e)
{
    uint32_t left;
    memcpy(&left, t->memory + TRIAL_ROUNDS_LEFT, sizeof(left));
    return err_set(e, ETIMEDOUT,
                   "KVM is too slow, it seems to emulate: %.1f %% of the test loop in %.1fs, "
                   "hardware does all of it "
                   "in 0.02s",
                   100.0 * (TRIAL_ROUNDS - left) / TRIAL_ROUNDS, (double)ns / NS_PER_S);
}

static int judge(const struct trial *t, int from, struct err *e)
{
    struct report r;
    uint64_t result;
    if (await_report(from, deadline_after(SETUP_LIMIT), &r) < 0)
        return err_errno(e, "KVM did not bring a guest to 64-bit mode");
    int64_t started = clock_monotonic_ns();
    if (r.kind == REPORT_STARTED && await_report(from, deadline_after(LOOP_LIMIT), &r) < 0) {
        if (errno == ETIMEDOUT)
            return too_slow(t, clock_monotonic_ns() - started, e);
        return err_errno(e, "KVM ended the process of a guest");
    }
    if (r.kind == REPORT_FAILED)
        return err_set(e, EIO, "%s", r.text);
    memcpy(&result, t->memory + TRIAL_RESULT, sizeof(result));
    if (result != TRIAL_EXPECTED)
        return err_set(e, EIO, "KVM computes wrongly: %016llx instead of %016llx",
                       (unsigned long long)result, (unsigned long long)TRIAL_EXPECTED);
    return 0;
}

int kvm_trial_run(int device, struct err *e)
{
    int ends[2];
    struct trial t = {.device = device};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(e, "pipe");
    _cleanup_close_ int from = ends[0], to = ends[1];
    t.memory = mmap(NULL, TRIAL_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t.memory == MAP_FAILED)
        return err_errno(e, "memory for a guest");
    pid_t child = process_fork();
    if (!child)
        run_child(&t, to);
    close_fd(&to);
    int rc = child < 0 ? err_errno(e, "fork") : judge(&t, from, e);
    if (child > 0)
        process_kill_and_reap(child);
    munmap(t.memory, TRIAL_MEMORY);
    return rc;
}
