/* From a profile to the files of a launch. Errors here are launch errors: they fail the test that
 * boots. */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "config/config.h"

struct profile_files {
    char *kernel;
    char *initrd;  /* NULL: none */
    char *cmdline; /* the profile's, with --append; input of cmdline_compose */
};

/* Finds the bundled guest and the kernel under `root`, reads cmdline_file and checks that
 * everything opens for reading. Call profile_build first. */
int profile_resolve(const struct profile *p, const struct environment *env,
                    struct profile_files *ret, struct err *e);
void profile_files_done(struct profile_files *files);

/* Directory of the bundled guest for an architecture: it holds BUNDLED_KERNEL and BUNDLED_INITRD.
 */
#define BUNDLED_KERNEL "vmlinux"
#define BUNDLED_INITRD "initrd"
char *bundled_guest_find(const struct environment *env, enum guest_arch arch, struct err *e);
