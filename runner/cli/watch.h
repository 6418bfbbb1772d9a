/* --watch. */
#pragma once

#include "cli/options.h"
#include "cli/run_files.h"
#include "config/config.h"

/* One run of these files; returns the exit code, *ret_signal the signal that interrupted it or 0. */
typedef int (*watch_run_fn)(const struct config *config, const struct selection *selection, int *ret_signal, void *arg);

/* Runs everything, then what each change concerns, until a signal comes; returns the exit code. */
int watch(const struct options *options, const struct environment *env, struct run_session *session, watch_run_fn run,
          void *arg);
