/* Whole initrds: detection, decompression, archives. The first byte chooses how the input reaches the reader. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "initrd/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_entry(void *arg, const struct cpio_entry *entry, struct err *e)
{
    (void)e;
    *(size_t *)arg += strlen(cpio_name(entry));
    return 0;
}

static int on_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
    (void)e;
    *(size_t *)arg += p[0] + p[n - 1];
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sum = 0;
    const struct cpio_visitor visitor = {.entry = on_entry, .data = on_data, .arg = &sum};
    _cleanup_err_ struct err e = ERR_INIT;
    if (!size)
        return 0;
    if (data[0] & 1) {
        initrd_scan_bytes(data + 1, size - 1, &visitor, &e);
        return 0;
    }
    _cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd >= 0 && write_full(fd, data + 1, size - 1) == 0)
        initrd_scan(fd, &visitor, NULL, &e);
    return 0;
}
