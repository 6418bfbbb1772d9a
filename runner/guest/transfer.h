/* Files between host and guest, in pieces; of any size. */
#pragma once

#include "guest/guest.h"

/* `perm`: as guest_write_file. Errors say which side: `push_file "a" -> "/b": host: ENOENT: …`. */
int guest_push_file(struct guest *g, const char *host_path, const char *guest_path, int perm, int64_t deadline,
                    struct err *e);
/* Through a temporary file next to `host_path`, and a rename. */
int guest_pull_file(struct guest *g, const char *guest_path, const char *host_path, uint64_t *ret_size,
                    int64_t deadline, struct err *e);
