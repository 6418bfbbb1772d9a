/* A block of lines at the bottom of the terminal that says what runs. */
#pragma once

#include "cli/options.h"
#include "cli/select.h"
#include "events/event.h"
#include "loop/loop.h"

struct progress;

/* Whether standard error is a terminal that wants one. */
bool progress_is_wanted(const struct options *options);
/* Draws at most ten times a second, until it is freed. */
struct progress *progress_new(struct loop *loop, const struct selection *selection, unsigned jobs);
void progress_free(struct progress *p);
void progress_take(struct progress *p, const struct event *ev);
/* A file is done with, after its last attempt. NULL is allowed. */
void progress_count(struct progress *p, bool passed);
/* To be called before anything else goes to the terminal. NULL is allowed. */
void progress_erase(struct progress *p);
