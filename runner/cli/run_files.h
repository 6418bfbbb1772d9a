/* The run itself: from a list of files to the exit code. */
#pragma once

#include "cli/options.h"
#include "cli/select.h"
#include "config/environment.h"
#include "loop/loop.h"
#include "pool/pool.h"
#include "pool/worker.h"

/* Event sinks and loop; several runs, one after the other, under --watch. */
struct run_session;

/* `broker` is of uplink_broker_start, or -1. */
struct run_session *run_session_new(const struct options *options, const struct environment *env, int broker,
                                    struct err *e);
struct loop *run_session_loop(struct run_session *s);
/* Returns the exit code; *ret_signal is the signal that interrupted the run, or 0. */
int run_session_run(struct run_session *s, const struct selection *selection, const struct worker_run *worker,
                    int *ret_signal);
/* Before a further run: --save-events begins anew, readers of the socket stay. */
int run_session_restart(struct run_session *s, struct err *e);
/* Gives readers some time for what is left. `code` is that of the last run; returns the final one. */
int run_session_end(struct run_session *s, int code);

/* The memory and CPUs that --mem, --cpus and --cpu-overcommit stand for. */
struct amount pool_budget(const struct options *options);
