/* System calls, as the host asks for them. The buffers of one are one block of memory, each at a multiple of 16; the
 * body begins with what says where they go (see operation.h).
 *
 * The agent interrupts one with SIGNAL_CANCEL, whose value says which call is meant. If that is the one in progress,
 * the handler jumps out of it: so it does not matter whether the signal comes just before or inside. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lane.h"

#define BUFS_MAX  (64 * 1024 * 1024)
#define COUNT_MAX 65536
#define ALIGNMENT 16
#define SLOTS     6

static pid_t own_pid;
static _Thread_local volatile uint32_t current; /* low bits of the id of the call in progress; 0: none */
static _Thread_local sigjmp_buf out;

static void on_cancel(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    uint32_t meant = (uint32_t)info->si_value.sival_int;
    if (!meant || meant != current)
        return;
    sigset_t own;
    current = 0;
    sigemptyset(&own);
    sigaddset(&own, SIGNAL_CANCEL);
    pthread_sigmask(SIG_UNBLOCK, &own, NULL); /* what the return from the handler would do */
    siglongjmp(out, 1);
}

void kernel_init(void)
{
    struct sigaction action = {.sa_sigaction = on_cancel, .sa_flags = SA_SIGINFO | SA_RESTART};
    own_pid = getpid();
    sigaction(SIGNAL_CANCEL, &action, NULL);
}

struct buffers {
    size_t count, total; /* total: of the block */
    uint64_t *lengths;
    size_t *offsets;
    uint8_t *block;
};

/* Room for the buffers; -1 when there are too many bytes, or no memory. */
static int allocate(struct buffers *b, struct call *call)
{
    size_t sum = 0;
    b->offsets = xnewa(size_t, b->count);
    for (size_t i = 0; i < b->count; i++) {
        b->offsets[i] = b->total;
        if (b->lengths[i] > BUFS_MAX || (sum += b->lengths[i]) > BUFS_MAX) {
            call_fail(call, E2BIG);
            return -1;
        }
        b->total += (b->lengths[i] + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    b->block = aligned_alloc(ALIGNMENT, b->total ? b->total : ALIGNMENT);
    if (!b->block)
        call_fail(call, ENOMEM);
    return b->block ? 0 : -1;
}

static void *address(const struct buffers *b, size_t index, uint64_t offset)
{
    return b->block + b->offsets[index] + offset;
}

/* Puts the addresses of buffers into registers and into other buffers. */
static int connect_buffers(const struct buffers *b, const struct args_syscall *args, const uint64_t *ptrs,
                           const uint64_t *nested, long regs[SLOTS])
{
    unsigned taken = 0;
    for (size_t i = 0; i < args->ptrs; i++) {
        if (ptrs[i] >= SLOTS || taken & 1u << ptrs[i])
            return -1;
        taken |= 1u << ptrs[i];
        regs[ptrs[i]] = (long)address(b, i, 0);
    }
    for (size_t i = 0; i < args->nested; i++) {
        uint64_t parent = nested[4 * i], child = nested[4 * i + 1], offset = nested[4 * i + 2],
                 inside = nested[4 * i + 3];
        if (parent >= b->count || child >= b->count || b->lengths[parent] < 8 ||
            offset > b->lengths[parent] - 8 || inside > b->lengths[child])
            return -1;
        void *target = address(b, child, inside);
        memcpy(address(b, parent, offset), &target, sizeof(target));
    }
    return 0;
}

static struct value_syscall perform(struct call *call, long nr, const long regs[SLOTS])
{
    struct value_syscall value = {.ret = -1, .errno_code = EINTR};
    volatile long ret = -1;
    nr = nr == SYS_vfork ? SYS_fork : nr; /* the child would run on our stack */
    lane_leave();
    if (!sigsetjmp(out, 0)) {
        current = (uint32_t)call->id;
        ret = syscall(nr, regs[0], regs[1], regs[2], regs[3], regs[4], regs[5]);
        int code = errno;
        current = 0;
        if (syscall(SYS_getpid) != own_pid) /* a child that this system call made */
            _exit(0);
        value = (struct value_syscall){.ret = ret, .errno_code = ret == -1 ? (uint64_t)code : 0};
    }
    lane_enter();
    return value;
}

static void run(struct call *call, struct buffers *b, const uint64_t *ptrs, const uint64_t *nested)
{
    const struct args_syscall *args = call_args(call);
    long regs[SLOTS] = {args->a0, args->a1, args->a2, args->a3, args->a4, args->a5};
    for (size_t i = 0; i < b->count; i++)
        if (call_receive_exactly(call, address(b, i, 0), b->lengths[i]) < 0)
            return;
    if (connect_buffers(b, args, ptrs, nested, regs) < 0) {
        call_fail_about(call, EINVAL, "malformed pointers");
        return;
    }
    struct value_syscall value = perform(call, args->nr, regs);
    value.out_bufs = b->count;
    call_value(call, &value);
    for (size_t i = 0; i < b->count; i++)
        if (call_send(call, address(b, i, 0), b->lengths[i]) < 0)
            return;
}

void kernel_syscall(struct call *call)
{
    const struct args_syscall *args = call_args(call);
    if (args->bufs > COUNT_MAX || args->ptrs > args->bufs || args->nested > COUNT_MAX) {
        call_fail_about(call, EINVAL, "malformed pointers");
        return;
    }
    size_t words = args->bufs + args->ptrs + 4 * args->nested;
    _cleanup_free_ uint64_t *table = xnewa(uint64_t, words);
    struct buffers b = {.count = args->bufs, .lengths = table};
    if (!call_receive_exactly(call, table, words * sizeof(*table)) && !allocate(&b, call))
        run(call, &b, table + args->bufs, table + args->bufs + args->ptrs);
    free(b.offsets);
    free(b.block);
}

/* A pipe copies memory without minding what is there: EFAULT says that something is not. */
void kernel_read_mem(struct call *call)
{
    const struct args_read_mem *args = call_args(call);
    uint8_t block[16384];
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        call_fail(call, errno);
        return;
    }
    for (uint64_t at = 0; at < args->size && !call->failed;) {
        size_t n = args->size - at < sizeof(block) ? args->size - at : sizeof(block);
        ssize_t got = write(fds[1], (const void *)(uintptr_t)(args->address + at), n);
        if (got < 0)
            call_fail(call, errno);
        else if (read(fds[0], block, (size_t)got) != got || call_send(call, block, (size_t)got) < 0)
            break;
        at += got > 0 ? (uint64_t)got : 0;
    }
    close(fds[0]);
    close(fds[1]);
}
