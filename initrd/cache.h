/* A directory of files that are written once, under a name that says what they hold, and never changed. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define CACHE_UNUSED_DAYS 30

/* Descriptor (read-only) of the entry, which counts as used now; -1 when there is none. With `size` >= 0 an entry
 * of another size is removed instead. */
int cache_open(const char *directory, const char *name, off_t size);

/* An entry in the making: it has no name, or one that cache_sweep removes, until it is complete. */
struct cache_file {
    int fd;          /* for reading and writing */
    char *directory; /* NULL: in memory, cache_install does nothing */
    char *temporary;
};
#define CACHE_FILE_INIT ((struct cache_file){.fd = -1})

/* Creates the directory when it is missing. */
int cache_create(const char *directory, struct cache_file *ret, struct err *e);
/* The same in memory (memfd_create(2)). */
int cache_create_in_memory(const char *name, struct cache_file *ret, struct err *e);
/* Writes through to the disk and gives the file its name; an entry that another process has made meanwhile stays. */
int cache_install(struct cache_file *f, const char *name, struct err *e);
/* A new descriptor, read-only, at offset 0. */
int cache_file_reopen(const struct cache_file *f, struct err *e);
void cache_file_done(struct cache_file *f);

/* Removes what was not used for CACHE_UNUSED_DAYS, and what killed processes left. Errors are ignored. */
void cache_sweep(const char *directory);
