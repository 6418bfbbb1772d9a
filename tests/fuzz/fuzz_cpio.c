/* The archive reader, fed in pieces whose size is the first byte. */
#include <stdint.h>

#include "initrd/cpio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(cpio_reader_freep) struct cpio_reader *r = cpio_reader_new(NULL);
    size_t piece = size ? data[0] + 1u : 1;
    for (size_t at = 1; at < size;) {
        size_t used, n = size - at < piece ? size - at : piece;
        if (cpio_reader_feed(r, data + at, n, &used, NULL) < 0 || !used)
            return 0;
        at += used;
    }
    return 0;
}
