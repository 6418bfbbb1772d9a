/* Waiting for files to change (--watch). */
#pragma once

#include "base/err.h"
#include "base/strv.h"
#include "loop/loop.h"

struct changes;

struct changes *changes_new(struct loop *loop);
void changes_free(struct changes *c);
DEFINE_CLEANUP(struct changes, changes_free)

/* From now on: all *.lua below the directories among `paths`, hidden directories left out, and the files among them,
 * whether they are there or not. What has changed between two calls is reported by the next changes_wait. */
void changes_watch(struct changes *c, const struct strv *paths);
/* Blocks until something has changed and nothing more has for 100 ms; appends the paths in the form of changes_name.
 * Returns 0, or the number of a signal (SIGINT, SIGTERM, SIGHUP) that came instead; those are expected to be blocked. */
int changes_wait(struct changes *c, struct strv *ret);
/* Absolute, with links resolved as far as there is something; malloc'ed. */
char *changes_name(const char *path);
