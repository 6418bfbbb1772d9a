#include "base/tree.h"

#include <ftw.h>
#include <stdio.h>

#define OPEN_MAX_DIRECTORIES 16

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    remove(path);
    return 0;
}

void tree_remove(const char *path)
{
    nftw(path, remove_entry, OPEN_MAX_DIRECTORIES, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
