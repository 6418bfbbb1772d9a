/* Kernel files: what one is, and the form in which QEMU starts it fastest. */
#pragma once

#include "initrd/hash.h"

#include "base/err.h"

enum kernel_kind {
    KERNEL_BZIMAGE, /* x86, unpacks itself in the guest */
    KERNEL_ELF,     /* x86, uncompressed, entered by PVH */
    KERNEL_ARM64,   /* aarch64 Image, plain or gzip */
};

struct kernel_image {
    int fd; /* read-only; for QEMU as -kernel /proc/self/fd/N */
    enum kernel_kind kind;
    char hash[HASH_HEX_SIZE]; /* of the file given, whatever is started */
    char version[128];        /* "6.1.0-56-cloud-amd64"; "" when the file doesn't say */
};
#define KERNEL_IMAGE_INIT ((struct kernel_image){.fd = -1})

/* Opens and checks the kernel at `path` for `arch` ("x86_64", "aarch64"). For a bzImage whose payload is an ELF file
 * with a PVH entry the result is that ELF file, from <scratch_root>/kernel-cache or unpacked into it: about 0.4 s less
 * of a boot under TCG. Where that can't be had it is the bzImage. Errors name the path and what the file looks like. */
int kernel_image_open(const char *path, const char *arch, const char *scratch_root, struct kernel_image *ret,
                      struct err *e);
void kernel_image_done(struct kernel_image *k);
