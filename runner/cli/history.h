/* What runs leave for later ones: which files failed (rerun.json) and how long each took (durations.json). */
#pragma once

#include "base/strv.h"
#include "config/environment.h"
#include "events/result.h"

struct history;

struct history *history_new(void);
void history_free(struct history *h);
DEFINE_CLEANUP(struct history, history_free)
void history_note(struct history *h, const struct file_result *r);
/* Updates the record of this user, and `durations_file` unless NULL. What cannot be written is warned about: it costs
 * no run. A run without failures leaves rerun.json alone. */
void history_save(const struct history *h, const struct environment *env, const char *durations_file);

/* Only the durations, into a file of shown paths. */
int history_write_durations(const struct history *h, const char *file, struct err *e);

/* Canonical paths of the files that failed in the newest run with failures; false when there is no record. */
bool history_failed(const struct environment *env, struct strv *out);

struct durations;

/* `file`, or when NULL provium-durations.json in `directory`, or when that is missing the record of this user. A record
 * that is missing or damaged is empty; one that was asked for by name is an error. */
struct durations *durations_load(const char *file, const char *directory, const struct environment *env, struct err *e);
void durations_free(struct durations *d);
DEFINE_CLEANUP(struct durations, durations_free)
/* Whether they come from a file that all shards of a run can see, and not from this user's own record. */
bool durations_are_shared(const struct durations *d);
/* Seconds, or -1 when unknown. */
double durations_of(const struct durations *d, const char *path);
