/* A thread of a worker, at its end of a lane. */
#pragma once

#include "call.h"

struct lane_ends {
    int frames, fds; /* sockets */
};

/* In a fresh child of the agent: becomes a worker with the other end of this lane. With `keeper`, system calls have
 * lanes of their own, so that this one always answers. */
void lane_process(struct lane_ends ends, bool keeper) __attribute__((noreturn));

/* Only one thread of a worker runs our code at a time, so that another may fork: to be left around whatever blocks. */
void lane_leave(void);
void lane_enter(void);

/* kernel.c: operations syscall and read_mem. */
void kernel_syscall(struct call *call);
void kernel_read_mem(struct call *call);
void kernel_init(void);
