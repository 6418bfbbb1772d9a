/* Directories in which something is made that then appears whole, by a rename.
 *
 * Each is locked (flock(2)) by its owner, and the lock ends with it. Who can lock one owns it and removes it; who loses that
 * race for a directory that he has just made makes another. */
#pragma once

#include "base/err.h"

struct staging {
    char *path;
    int fd; /* holds its lock */
};
#define STAGING_INIT ((struct staging){.fd = -1})

/* A new directory `<parent>/<prefix>XXXXXX`. */
int staging_new(const char *parent, const char *prefix, struct staging *ret, struct err *e);
/* With everything in it. */
void staging_done(struct staging *s);
/* Those whose owner is gone. */
void staging_sweep(const char *parent, const char *prefix);
