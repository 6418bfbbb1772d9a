#include "initrd/magic.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
    size_t offset;
    const char *bytes;
    size_t size;
    enum magic magic;
    const char *description;
} known[] = {
    {0x202, "HdrS", 4, MAGIC_BZIMAGE, "a Linux kernel (bzImage)"},
    {0x38, "ARM\x64", 4, MAGIC_ARM64_IMAGE, "an aarch64 Linux kernel (Image)"},
    {0, "\177ELF", 4, MAGIC_ELF, "an ELF file"},
    {0, "070701", 6, MAGIC_CPIO, "a cpio archive (newc)"},
    {0, "070702", 6, MAGIC_CPIO, "a cpio archive (crc)"},
    {0, "\x1f\x8b", 2, MAGIC_GZIP, "gzip data"},
    {0, "\x28\xb5\x2f\xfd", 4, MAGIC_ZSTD, "zstd data"},
    {0, "\xfd"
        "7zXZ\0", 6, MAGIC_XZ, "xz data"},
    {0, "\x02\x21\x4c\x18", 4, MAGIC_LZ4_LEGACY, "lz4 data (legacy frame)"},
    {0, "\x04\x22\x4d\x18", 4, MAGIC_OTHER, "lz4 data"},
    {0, "070707", 6, MAGIC_OTHER, "a cpio archive in the old odc format"},
    {0, "\xc7\x71", 2, MAGIC_OTHER, "a cpio archive in the old binary format"},
    {0, "BZh", 3, MAGIC_OTHER, "bzip2 data"},
    {0, "\x5d\0\0", 3, MAGIC_OTHER, "lzma data"},
    {0, "\x89LZO", 4, MAGIC_OTHER, "lzo data"},
    {0, "hsqs", 4, MAGIC_OTHER, "a squashfs image"},
    {0, "QFI\xfb", 4, MAGIC_OTHER, "a qcow2 disk image"},
    {257, "ustar", 5, MAGIC_OTHER, "a tar archive"},
    {0, "PK\3\4", 4, MAGIC_OTHER, "a zip archive"},
    {0, "!<arch>\n", 8, MAGIC_OTHER, "an ar archive or Debian package"},
    {0, "MZ", 2, MAGIC_OTHER, "an EFI or DOS program"},
};

static int find(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (n >= known[i].size && known[i].offset <= n - known[i].size &&
            !memcmp(p + known[i].offset, known[i].bytes, known[i].size))
            return (int)i;
    return -1;
}

enum magic magic_of(const uint8_t *p, size_t n)
{
    int i = find(p, n);
    return i < 0 ? MAGIC_UNKNOWN : known[i].magic;
}

static bool is_text(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isprint(p[i]) && !isspace(p[i]) && p[i] < 0x80)
            return false;
    return n > 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

const char *magic_describe(const uint8_t *p, size_t n, char out[static 64])
{
    int i = find(p, n);
    if (i >= 0)
        snprintf(out, 64, "%s", known[i].description);
    else if (!n)
        snprintf(out, 64, "empty");
    else if (is_zero(p, n))
        snprintf(out, 64, "zeros");
    else if (is_text(p, n))
        snprintf(out, 64, "text");
    else if (n < 4)
        snprintf(out, 64, "%zu bytes of unknown data", n);
    else
        snprintf(out, 64, "unknown data (starts with %02x %02x %02x %02x)", p[0], p[1], p[2], p[3]);
    return out;
}
