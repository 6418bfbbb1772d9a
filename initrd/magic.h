/* What a file is, told by its first bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum magic {
    MAGIC_UNKNOWN,
    MAGIC_CPIO, /* newc or crc */
    MAGIC_GZIP,
    MAGIC_ZSTD,
    MAGIC_XZ,
    MAGIC_LZ4_LEGACY, /* a kernel's payload; not accepted as initrd */
    MAGIC_ELF,
    MAGIC_BZIMAGE,
    MAGIC_ARM64_IMAGE,
    MAGIC_OTHER, /* known, and of no use here: see magic_describe */
};

/* Bytes to look at for the answer to be as good as it gets. */
#define MAGIC_SIZE 1024

enum magic magic_of(const uint8_t *p, size_t n);
/* "a Linux kernel (bzImage)", "text", "unknown data (starts with 00 11 22 33)"… into `out`, which is returned. */
const char *magic_describe(const uint8_t *p, size_t n, char out[static 64]);
