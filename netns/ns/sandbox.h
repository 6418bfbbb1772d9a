/* The sandbox of a run: own user, network, mount, pid and ipc namespaces without any privilege of
 * the caller (user_namespaces(7)). Loopback is the only interface; the file system is the one the
 * user sees, with /proc of the new pid namespace where the host allows it. Capabilities are
 * dropped, except those over files that the user had (root keeps reading what it could read), and
 * no_new_privs is set. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* Returns 0 in the inner process, pid 1 of its namespace. The calling process stays outside in all
 * its namespaces, passes SIGINT, SIGTERM, SIGHUP and SIGWINCH on, and exits as the inner one does
 * (128 + n for a signal): it never returns from a success. When either is killed, by whatever
 * signal, the kernel kills everything inside.
 *
 * Returns -1 in the unchanged caller when the host forbids it: the message names the missing piece,
 * the hint the remedy. The caller must be single-threaded and have flushed its output.
 *
 * The inner process is the leader of a process group of its own, so that a signal to the group of
 * the caller, such as Ctrl-C, arrives once. As pid 1 it gets only signals that it handles, and must
 * reap orphans.
 *
 * A helper that is to keep the host's namespaces (the uplink broker) is forked before, with
 * PR_SET_PDEATHSIG. */
int sandbox_enter(struct err *e);

/* Whether sandbox_enter would succeed; tried in a child. */
int sandbox_probe(struct err *e);
