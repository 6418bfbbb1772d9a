/* Many operations in one round trip. They run in the guest in the order in which they were added, and a failure of one
 * does not stop the rest. */
#pragma once

#include "guest/exec.h"
#include "guest/files.h"
#include "guest/kernel.h"

#define GUEST_BATCH_MAX (64 * 1024 * 1024) /* of all results together; what comes after is an error */

enum guest_batch_kind {
    BATCH_NOTHING, /* write_file, mkdir, unlink, rename */
    BATCH_RUN,
    BATCH_DATA, /* read_file */
    BATCH_STAT,
    BATCH_LISTING,
    BATCH_SYSCALL,
};

struct guest_batch_entry {
    enum guest_batch_kind kind;
    struct err error; /* without a message: it succeeded, and the member for `kind` is set */
    union {
        struct guest_result result;
        struct buf data;
        struct guest_stat stat;
        struct guest_listing listing;
        struct guest_syscall_result syscall;
    };
};

struct guest_batch;

struct guest_batch *guest_batch_new(struct guest *g);
void guest_batch_free(struct guest_batch *b);
DEFINE_CLEANUP(struct guest_batch, guest_batch_free)

/* Each adds an operation. It may be under way at once, so data and strings have to stay until the batch is freed. */
void guest_batch_run(struct guest_batch *b, const struct guest_command *command);
void guest_batch_read_file(struct guest_batch *b, const char *path);
void guest_batch_write_file(struct guest_batch *b, const char *path, const void *data, size_t n, int perm);
void guest_batch_stat(struct guest_batch *b, const char *path, bool follow);
void guest_batch_listdir(struct guest_batch *b, const char *path);
void guest_batch_mkdir(struct guest_batch *b, const char *path, unsigned perm, bool parents);
void guest_batch_unlink(struct guest_batch *b, const char *path);
void guest_batch_rename(struct guest_batch *b, const char *from, const char *to);
void guest_batch_syscall(struct guest_batch *b, const struct guest_syscall *s);

/* Waits for all of them. -1: the deadline passed, or the wait was interrupted; what had not begun does not. */
int guest_batch_wait(struct guest_batch *b, int64_t deadline, struct err *e);
size_t guest_batch_count(const struct guest_batch *b);
const struct guest_batch_entry *guest_batch_entry(const struct guest_batch *b, size_t index);
