/* SHA-256 of files, remembered between runs. */
#pragma once

#include <nettle/sha2.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"

#define HASH_HEX_SIZE (2 * SHA256_DIGEST_SIZE + 1)

/* Finishes the hash as lower-case hexadecimal text. */
void hash_finish(struct sha256_ctx *hash, char out[static HASH_HEX_SIZE]);
void hash_bytes(const void *p, size_t n, char out[static HASH_HEX_SIZE]);
/* From the descriptor's offset 0 to its end, which is where it stands afterwards. */
int hash_fd(int fd, char out[static HASH_HEX_SIZE], struct err *e);

/* The memory: <scratch_root>/hashes, a file per inode state (device, inode, size, mtime, ctime). `kind` keeps apart
 * what else the caller vouches for by remembering ("initrd": it was valid). recall: true when known. remember keeps
 * nothing when the inode had changed in the last second before `started` (clock_realtime_ns() before the first
 * read), because a further change would not show in its times. */
bool hash_recall(const char *scratch_root, const char *kind, const struct stat *st, char out[static HASH_HEX_SIZE]);
void hash_remember(const char *scratch_root, const char *kind, const struct stat *st, int64_t started,
                   const char *hex);
/* Of the file at `path`, by memory when it has it. */
int hash_file(const char *path, const char *scratch_root, const char *kind, char out[static HASH_HEX_SIZE],
              struct err *e);
