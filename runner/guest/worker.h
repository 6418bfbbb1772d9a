/* Worker processes of the guest, each with its own credentials, namespaces and descriptors. What they execute is asked of
 * them by the functions of file.h, process.h, kernel.h and below. */
#pragma once

#include "guest/exec.h"

struct guest_worker;

struct guest_worker *guest_worker_start(struct guest *g, int64_t deadline, struct err *e);
/* Ends it, without waiting. */
void guest_worker_free(struct guest_worker *w);
DEFINE_CLEANUP(struct guest_worker, guest_worker_free)
uint64_t guest_worker_id(const struct guest_worker *w);
int64_t guest_worker_pid(const struct guest_worker *w);
/* NULL while it lives; else how it ended, as in "killed by SIGSYS (31)", or why it was lost. */
const char *guest_worker_ended(struct guest_worker *w);
/* Ends it and waits for that. */
int guest_worker_close(struct guest_worker *w, int64_t deadline, struct err *e);

/* guest_run in the worker. */
int guest_worker_run(struct guest_worker *w, const struct guest_command *command, struct guest_result *ret,
                     int64_t deadline, struct err *e);
struct guest *guest_worker_guest(const struct guest_worker *w);
