/* Machines that are started ahead of need (vm/spare.h): for which snapshots, and when. */
#pragma once

#include "script/script.h"
#include "vm/spare.h"

/* A machine is likely to be restored from the snapshot at `path` soon; `name` is shown by ps(1). `warm` as for spare_new. */
void ahead_expect(struct script *s, const char *path, const char *name, bool warm);
/* No more machines are restored from what is at or below `path`; NULL: from anything. */
void ahead_forget(struct script *s, const char *path);
void ahead_free(struct ahead *a);

struct ahead_machine {
    struct spare *spare;
    struct launch launch; /* what it was started with; spare's files are its own */
    const struct profile *profile;
};
/* The snapshot at `path`, if there is a machine for it: opened and checked. */
const struct snapshot_file *ahead_file(const struct script *s, const char *path);
/* One for the snapshot that is at `path` now; false: there is none. One that has run is given only if it may be `warm`. */
bool ahead_take(struct script *s, const char *path, bool warm, struct ahead_machine *ret);
