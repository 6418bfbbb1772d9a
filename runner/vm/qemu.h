/* One QEMU process, or the agent in its place (local.h): started with the descriptors it may have, its standard error kept,
 * its end reported. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/strv.h"
#include "loop/loop.h"

struct qemu;

/* The process ended and was reaped. */
typedef void (*qemu_exit_fn)(void *arg);

struct program {
    const char *noun; /* for messages */
    const struct strv *argv;
    const int *fds; /* kept open in the child under the same numbers */
    size_t fd_count;
    void (*enter)(const int *fds); /* runs in the child just before it executes argv[0], or NULL */
};

/* Starts argv[0] with `fds` and nothing else. */
struct qemu *qemu_start(struct loop *loop, const struct program *program, qemu_exit_fn on_exit, void *arg, struct err *e);
/* Another one hears of the exit. */
void qemu_tell(struct qemu *q, qemu_exit_fn on_exit, void *arg);
/* Kills and reaps when it still runs. */
void qemu_free(struct qemu *q);
DEFINE_CLEANUP(struct qemu, qemu_free)

pid_t qemu_pid(const struct qemu *q);
bool qemu_exited(const struct qemu *q);
/* After the exit: the status as from waitpid(2), and "<noun> exited with status N: <stderr>" or "<noun> was killed by SIGx". */
int qemu_status(const struct qemu *q);
char *qemu_describe_exit(const struct qemu *q);
