/* Processes of the guest that go on while the test does other things. Their output is kept here, up to the command's
 * max_output. */
#pragma once

#include "guest/exec.h"
#include "guest/stream.h"

struct guest_process;
struct guest_worker;

/* Starts the command (its timeout_ns must be 0; `input` is written first, and standard input stays open). Returns when
 * it runs. `worker`: who starts it; NULL: the agent. `after`: a gate (gate.h) that it waits for, or 0; then the call
 * returns at once, and guest_process_wait_started waits. */
struct guest_process *guest_process_start(struct guest *g, struct guest_worker *worker, uint64_t after,
                                          const struct guest_command *command, int64_t deadline,
                                          struct err *e);
int guest_process_wait_started(struct guest_process *p, int64_t deadline, struct err *e);
/* Kills its group if it runs. Streams of it have to be freed before. */
void guest_process_free(struct guest_process *p);
DEFINE_CLEANUP(struct guest_process, guest_process_free)

/* Unique in the guest, never used again; also for guest_resync. */
uint64_t guest_process_id(const struct guest_process *p);
/* As the guest's agent last told. */
int64_t guest_process_pid(const struct guest_process *p);
bool guest_process_is_running(const struct guest_process *p);
/* The machine is gone or began anew, and the process with it: NULL, or why. */
const char *guest_process_lost(const struct guest_process *p);

/* It could not be started after all, or was given up: NULL, or why. */
const char *guest_process_failure(const struct guest_process *p);
/* One that waits at a gate: it is not started, and fails with that reason. */
void guest_process_give_up(struct guest_process *p, const char *why);

/* Waits until it has ended and its outputs have, or 200 ms more. When `kill_at` passes before, its group gets SIGKILL,
 * and the result says timed out. The result borrows its output from the process. */
int guest_process_wait(struct guest_process *p, int64_t kill_at, int64_t deadline, struct guest_result *ret,
                       struct err *e);
/* Without waiting: how it ended, without output. -1: it runs. */
int guest_process_status(const struct guest_process *p, struct guest_result *ret);
/* *ret_delivered: false if it has ended. `group`: its whole process group. */
int guest_process_signal(struct guest_process *p, int number, bool group, bool *ret_delivered, int64_t deadline,
                         struct err *e);
/* All of it, waiting for the process to take it. */
int guest_process_write(struct guest_process *p, const void *data, size_t n, int64_t deadline, struct err *e);
int guest_process_close_stdin(struct guest_process *p, int64_t deadline, struct err *e);
/* SIGTERM to its group, 2 s, SIGKILL; nothing if it has ended. */
int guest_process_close(struct guest_process *p, int64_t deadline, struct err *e);
/* From its first byte on; 0: stdout, 1: stderr. */
struct stream *guest_process_stream(struct guest_process *p, unsigned output);
