/* A directory for the files of one test, with helpers to fill it; removed at the end. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

static inline int temp_remove_entry(const char *path, const struct stat *st, int flag,
                                    struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline char *temp_new(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = xasprintf("%s/provium test-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(path))
        abort();
    return path;
}

static inline void temp_free(char **path)
{
    nftw(*path, temp_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(*path);
}

/* Writes a file below the directory, making what is missing on the way; the path is malloc'ed. */
static inline char *temp_file(const char *directory, const char *name, const char *content)
{
    char *path = path_join(directory, name);
    _cleanup_free_ char *parent = path_directory(path);
    if (dir_create_all(parent, 0777, NULL) < 0 ||
        file_write_atomic(path, content, strlen(content), 0644, false, NULL) < 0)
        abort();
    return path;
}

#define _cleanup_temp_ _cleanup_(temp_free)
