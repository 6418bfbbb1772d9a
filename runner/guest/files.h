/* Files of the guest by path. Paths are absolute, or relative to the guest's root. */
#pragma once

#include <sys/types.h>

#include "guest/guest.h"

struct guest_stat {
    uint64_t size;
    int64_t mtime_ns;
    unsigned perm;          /* 0..07777 */
    const char *entry_type; /* "file", "directory", … static */
    uint64_t uid, gid, nlink, ino, dev, rdev;
};

struct guest_entry {
    char *name;
    const char *entry_type; /* static */
};

struct guest_listing {
    struct guest_entry *entries; /* sorted bytewise by name */
    size_t count;
};

void guest_listing_done(struct guest_listing *l);

/* Appends the whole file to `out`; EFBIG over GUEST_FILE_MAX. */
int guest_read_file(struct guest *g, const char *path, struct buf *out, int64_t deadline,
                    struct err *e);
/* Creates (0644) or replaces the contents. `perm`: -1 keeps an existing mode; else set exactly. */
int guest_write_file(struct guest *g, const char *path, const void *data, size_t n, int perm,
                     int64_t deadline, struct err *e);
int guest_stat(struct guest *g, const char *path, bool follow, struct guest_stat *ret,
               int64_t deadline, struct err *e);
int guest_listdir(struct guest *g, const char *path, struct guest_listing *ret, int64_t deadline,
                  struct err *e);
/* `parents`: missing ones are made (0755), and an existing directory is success. */
int guest_mkdir(struct guest *g, const char *path, unsigned perm, bool parents, int64_t deadline,
                struct err *e);
int guest_unlink(struct guest *g, const char *path, int64_t deadline, struct err *e);
int guest_rename(struct guest *g, const char *from, const char *to, int64_t deadline,
                 struct err *e);
