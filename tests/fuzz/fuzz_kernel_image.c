/* Kernel files: header, ELF, payload. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/io.h"
#include "vm/kernel_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write_full(fd, data, size) < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    static const char *const arches[] = {"x86_64", "aarch64"};
    for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
        _cleanup_(kernel_image_done) struct kernel_image image = KERNEL_IMAGE_INIT;
        _cleanup_err_ struct err e = ERR_INIT;
        kernel_image_open(path, arches[i], "/dev/null", &image, &e);
    }
    return 0;
}
