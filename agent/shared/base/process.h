/* Starting and ending child processes. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* fork(2); the child gets SIGKILL when its parent dies (PR_SET_PDEATHSIG, without the race), an
 * empty signal mask and the default action for every signal. */
pid_t process_fork(void);
/* Closes every descriptor from 3 on but these (which must not repeat). */
void process_keep_fds(const int *fds, size_t count);
/* SIGKILL and waitpid; retries EINTR. Only for own children. */
void process_kill_and_reap(pid_t pid);
/* The number of an own child in /proc, which may be that of an outer pid namespace: a container's, where /proc can't be
 * mounted anew. `pid` itself where that can't be told. ("Pid" of a pidfd in proc_pid_fdinfo(5).) */
int process_number_in_proc(pid_t pid);
