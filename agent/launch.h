/* The beginning of processes. */
#pragma once

#include "process.h"

/* Starts the process of an exec call; owns `body`. -1 with errno. */
int launch(struct process *p, const struct args_exec *args, uint8_t *body, size_t len);
/* A worker has started it as `pid`; 0: it could not, with errno `code`. */
void launch_done(struct process *p, pid_t pid, int code);
/* A child ended that is nobody's: of a worker that has not told yet. */
void launch_note_ended(struct agent *a, pid_t pid, int status);
