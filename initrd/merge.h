/* The initrd that a guest gets: the user's, the agent overlay and the boot option `files`, as one file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "initrd/overlay.h"

/* Where `files` wait inside of the guest until the agent's early stage moves them into place. */
#define INITRD_FILES_DIRECTORY ".provium-files"

struct initrd_file {
    const char *path; /* absolute, without "." and ".." */
    const void *content;
    size_t size;
    uint32_t mode; /* permission bits */
};

struct initrd_request {
    const char *initrd;            /* path, or NULL for none */
    const struct overlay *overlay; /* NULL: inject_agent = false */
    const struct initrd_file *files; /* of entries with the same path the last wins */
    size_t file_count;
    const char *scratch_root;
};

struct initrd {
    int fd; /* read-only; for QEMU as /proc/self/fd/N. -1: neither initrd, overlay nor files */
    uint64_t size;
    char *warning; /* the cache could not be written and why; or NULL */
};
#define INITRD_INIT ((struct initrd){.fd = -1})

/* Errors name the initrd's path and what is wrong with it. */
int initrd_prepare(const struct initrd_request *request, struct initrd *ret, struct err *e);
void initrd_done(struct initrd *i);

/* Opens, checks (every byte, unless this state of the file was checked before) and hashes an initrd. Returns the
 * descriptor. */
int initrd_open(const char *path, const char *scratch_root, char hash[static HASH_HEX_SIZE], struct err *e);

/* At the start of a run: removes what was not used for 30 days and what killed runs left. */
void initrd_cache_sweep(const char *scratch_root);
