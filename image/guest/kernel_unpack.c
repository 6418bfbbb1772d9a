/* kernel-unpack BZIMAGE OUT: writes the ELF file inside of a kernel, as the runner would start it. Build tool of the
 * bundled guest. */
#include <fcntl.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/io.h"
#include "vm/kernel_image.h"

static int unpack(const char *from, const char *to, struct err *e)
{
    _cleanup_(kernel_image_done) struct kernel_image image = KERNEL_IMAGE_INIT;
    _cleanup_buf_ struct buf elf = BUF_INIT((size_t)1 << 30);
    /* No scratch directory: the result is wanted here and nowhere else. */
    if (kernel_image_open(from, "x86_64", "/dev/null", &image, e) < 0)
        return -1;
    if (image.kind != KERNEL_ELF)
        return err_set(e, 0, "kernel `%s`: no ELF file with a PVH entry inside", from);
    if (fd_read_all(image.fd, &elf, e) < 0)
        return err_prefix(e, "kernel `%s`", from);
    return file_write_atomic(to, buf_head(&elf), elf.len, 0644, false, e);
}

int main(int argc, char **argv)
{
    _cleanup_err_ struct err e = ERR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: kernel-unpack BZIMAGE OUT\n");
        return 2;
    }
    if (unpack(argv[1], argv[2], &e) < 0) {
        fprintf(stderr, "kernel-unpack: %s\n", err_message(&e));
        return 1;
    }
    return 0;
}
