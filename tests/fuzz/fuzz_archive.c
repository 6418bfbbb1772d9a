/* Hostile archives, and any bytes packed and unpacked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "fixture/archive.h"

static int memory_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write_full(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET))
        abort();
    return fd;
}

static void round_trip(const uint8_t *data, size_t size, const struct archive_base *base, int base_fd)
{
    _cleanup_close_ int from = memory_file(data, size), packed = memory_file(data, 0), to = memory_file(data, 0);
    if (archive_pack(from, packed, base, base_fd, NULL) < 0 || lseek(packed, 0, SEEK_SET) ||
        archive_unpack(packed, to, base_fd, NULL) < 0)
        abort();
    _cleanup_free_ uint8_t *back = xmalloc(size + 1);
    if (pread(to, back, size + 1, 0) != (ssize_t)size || (size && memcmp(back, data, size)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct archive_base base = {.name = "base"};
    _cleanup_close_ int hostile = memory_file(data, size), anything = memory_file(data, 0), other = memory_file(data, 0);
    archive_unpack(hostile, anything, -1, NULL);
    _cleanup_close_ int half = memory_file(data + size / 2, size - size / 2);
    if (lseek(hostile, 0, SEEK_SET))
        abort();
    archive_unpack(hostile, other, half, NULL);
    round_trip(data, size, NULL, -1);
    round_trip(data, size, &base, half);
    return 0;
}
