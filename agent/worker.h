/* Worker processes: what a kernel call changes (credentials, namespaces, descriptors, mappings) must not hit the agent,
 * and what it breaks must not either. Those that the host spawns, and one, with id 0, for the host's own kernel
 * calls, made at the first of them.
 *
 * A worker runs threads of the agent's own code, one call after the other, each at the end of a lane: a pair of
 * sockets, one for frames and one for descriptors. Requests of the host are passed on as they are. */
#pragma once

#include "call.h"
#include "process.h"

/* Handlers for operations that a worker executes: syscall, read_mem, and open for a worker. */
void worker_begin(struct call *call);
void worker_body(struct call *call);
void worker_cancel(struct call *call);
/* Operation worker. */
void worker_new(struct call *call);
void worker_end(struct call *call);
/* Operation fd. */
void worker_fd(struct call *call);

/* A duplicate of a descriptor of the kernel-call process; -1 with errno. Waits; for `run`. */
int worker_share_fd(struct call *call, int64_t fd);
/* Closes a descriptor in a worker. */
void worker_drop_fd(struct agent *a, uint64_t worker, int fd);
/* Has the worker of the exec call start the process; its end of the pipes is in `fds` (as struct spawn's, then the error
 * pipe). `fn` hears of it. -1 with errno. */
int worker_spawn(struct process *p, const uint8_t *body, size_t len, const int fds[4]);

/* A child ended: true if it was a worker. */
bool worker_reaped(struct agent *a, pid_t pid, int status);
/* The channel has room again. */
void worker_resume(struct agent *a);
/* A new session begins: it keeps the workers with these ids. */
void worker_adopt(struct agent *a, const uint64_t *ids, size_t count);
