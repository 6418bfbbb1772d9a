/* Environment variables and the default places that follow from them (docs/config.md,
 * "Environment"). */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct environment {
    char *home;          /* NULL when unset */
    char *scratch_root;  /* $XDG_CACHE_HOME/provium, ~/.cache/provium or /tmp/provium-<uid> */
    bool scratch_in_tmp; /* the last of these */
    char *build_dir;     /* PROVIUM_BUILD_DIR or <scratch_root>/build */
    char *fixture_cache; /* PROVIUM_FIXTURE_CACHE; NULL: the config decides */
    char *rerun_state;   /* PROVIUM_RERUN_STATE or its default */
    char *overlay;       /* PROVIUM_OVERLAY or NULL */
    char *guest_dir;     /* PROVIUM_GUEST_DIR or NULL */
    char *qemu;          /* PROVIUM_QEMU or NULL */
    char *temporary_dir; /* TMPDIR or /tmp */
    char *binary_dir;    /* directory of the running binary, links resolved */
};

/* All paths are absolute; an empty variable counts as unset. `lookup` is getenv or a test's
 * stand-in; `binary` is the path of the running binary, NULL for /proc/self/exe. */
struct environment *environment_new(char *(*lookup)(const char *name), const char *binary);
void environment_free(struct environment *env);
DEFINE_CLEANUP(struct environment, environment_free)

/* Creates the scratch root. The one in /tmp must be a directory of ours, mode 0700. */
int environment_make_scratch(const struct environment *env, struct err *e);
