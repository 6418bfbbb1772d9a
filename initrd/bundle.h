/* The guest that is shipped with provium: what "@bundled" stands for. */
#pragma once

#include "base/err.h"

/* Paths of kernel and initrd of the bundled guest for `arch` ("x86_64"), malloc'ed; either may be NULL when not
 * wanted. Searched: `environment` ($PROVIUM_GUEST_DIR or NULL; when set nothing else), then
 * <binary_directory>/../share/provium/guest, then dist/guest in each parent of it. A foreign arch has its files in a
 * directory of its name in there. */
int bundle_find(const char *environment, const char *binary_directory, const char *arch, char **ret_kernel,
                char **ret_initrd, struct err *e);
