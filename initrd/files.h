/* The archive that carries the boot option `files`. */
#pragma once

#include "initrd/merge.h"

#include "base/strv.h"

/* With `prefix` ("" or INITRD_FILES_DIRECTORY) in front of each path, and all parent directories that `present`
 * (sorted names; may be NULL) lacks. Sorted by path; of equal paths the last wins. Empty when there are no files. */
int files_archive(const struct initrd_file *files, size_t count, const char *prefix, const struct strv *present,
                  struct buf *out, struct err *e);

/* Names of everything but regular files in the initrd, sorted: what can serve as a parent directory. */
int files_list_parents(int initrd_fd, struct strv *out, struct err *e);
