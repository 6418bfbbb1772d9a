/* System calls in the guest: of the agent's process for them, or of a worker. */
#pragma once

#include "guest/guest.h"

#define GUEST_BUFFERS_MAX (64 * 1024 * 1024) /* together; also of guest_read_mem */
#define GUEST_NR_IOCTL    (-1)               /* ioctl(2), whatever its number is there */

struct guest_worker;
struct guest_async;

struct guest_buffer {
    const void *data;
    size_t len;
};

/* Indices of buffers count from 0. */
struct guest_nested {
    size_t parent, child;
    uint64_t offset, child_offset; /* the address of child + child_offset is stored at parent + offset */
};

struct guest_syscall {
    int64_t nr, args[6];
    const struct guest_buffer *bufs;
    size_t buf_count;
    const unsigned *ptrs; /* slot that gets the address of the buffer of the same index */
    size_t ptr_count;
    const struct guest_nested *nested;
    size_t nested_count;
};

struct guest_syscall_result {
    int64_t ret;
    int errno_code; /* 0 unless ret is -1 */
    struct buf out; /* all buffers after the call, one after the other, as long as they were */
};

void guest_syscall_result_done(struct guest_syscall_result *r);

/* NULL if the call can be made, else what is wrong with it. */
const char *guest_syscall_check(const struct guest_syscall *s);
/* A failing system call is a result. After a timeout or an interruption the agent has up to 1.5 s more to say whether
 * the thread came back. */
int guest_syscall(struct guest *g, struct guest_worker *worker, const struct guest_syscall *s,
                  struct guest_syscall_result *ret, int64_t deadline, struct err *e);
/* In a thread of its own; `after`: a gate that it waits for, or 0. */
struct guest_async *guest_syscall_async(struct guest *g, struct guest_worker *worker, uint64_t after,
                                        const struct guest_syscall *s);
/* A timeout leaves it pending. */
int guest_async_await(struct guest_async *a, int64_t deadline, struct guest_syscall_result *ret,
                      struct err *e);
/* One that waits at a gate: it is not made, and fails with that reason. */
void guest_async_give_up(struct guest_async *a, const char *why);
bool guest_async_is_done(const struct guest_async *a);
void guest_async_free(struct guest_async *a);
DEFINE_CLEANUP(struct guest_async, guest_async_free)

/* Memory of that process. e->code is EFAULT where nothing is mapped. */
int guest_read_mem(struct guest *g, struct guest_worker *worker, uint64_t address, size_t n, struct buf *out,
                   int64_t deadline, struct err *e);

/* A gate: calls made with its id as `after` start together when it is opened. */
struct guest_gate;
struct guest_gate *guest_gate_new(struct guest *g);
uint64_t guest_gate_id(const struct guest_gate *gate);
void guest_gate_open(struct guest_gate *gate);
/* Opens it too. */
void guest_gate_free(struct guest_gate *gate);
DEFINE_CLEANUP(struct guest_gate, guest_gate_free)
