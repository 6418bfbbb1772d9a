/* Reads a whole initrd as the kernel would: archives, compressed or not, one after the other. */
#pragma once

#include <nettle/sha2.h>

#include "initrd/cpio.h"

/* "newc or crc cpio, uncompressed or compressed with gzip, zstd or xz" */
extern const char initrd_formats[];

/* Reads from offset 0 to the end. Fails unless everything is a complete archive in an accepted format, one at least.
 * `visitor` sees every member, also those inside of compressed parts; `hash` is given every byte of the file. Both
 * may be NULL. Errors name neither file nor role. */
int initrd_scan(int fd, const struct cpio_visitor *visitor, struct sha256_ctx *hash, struct err *e);
/* The same over memory. */
int initrd_scan_bytes(const uint8_t *p, size_t n, const struct cpio_visitor *visitor, struct err *e);
