/* Kernel files.
 *
 * A bzImage (Linux: Documentation/arch/x86/boot.rst) is a real-mode header and a program that unpacks the kernel
 * proper. Under TCG that program is slow, so we do its work once, on the host, and let QEMU enter the ELF file inside
 * by PVH (Xen: docs/misc/pvh.pandoc), as the ELF note XEN_ELFNOTE_PHYS32_ENTRY allows. What differs for the guest:
 * its kernel runs at its link address (the unpacking program is what applies KASLR) and with 4-level page tables.
 *
 * The file is not trusted: every offset is checked against the bytes there are, and the unpacked size is limited. A
 * payload that can't be used is no error; an empty cache entry remembers it. */
#include "kernel_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cache.h"
#include "initrd/decompress.h"
#include "initrd/magic.h"

#define HEAD_SIZE     4096
#define FILE_MAX      ((size_t)256 << 20)
#define UNPACKED_MAX  ((size_t)1 << 30)
#define NOTES_MAX     (1 << 20)
#define PVH_NOTE_TYPE 18 /* XEN_ELFNOTE_PHYS32_ENTRY */

struct file {
    int fd;
    uint64_t size;
    uint8_t head[HEAD_SIZE];
    size_t head_size;
};

void kernel_image_done(struct kernel_image *k)
{
    close_fd(&k->fd);
}

static uint32_t le16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static int read_at(const struct file *f, void *p, size_t n, uint64_t offset)
{
    return offset <= f->size && n <= f->size - offset && pread(f->fd, p, n, (off_t)offset) == (ssize_t)n ? 0 : -1;
}

static int file_open(struct file *f, const char *path, struct stat *st, struct err *e)
{
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (f->fd < 0 || fstat(f->fd, st) < 0)
        return err_errno(e, "kernel `%s`", path);
    if (!S_ISREG(st->st_mode))
        return err_set(e, EINVAL, "kernel `%s`: not a regular file", path);
    ssize_t got = pread(f->fd, f->head, sizeof(f->head), 0);
    if (got < 0)
        return err_errno(e, "kernel `%s`", path);
    f->head_size = (size_t)got;
    f->size = (uint64_t)st->st_size;
    return 0;
}

/* --- bzImage --- */

struct bzimage {
    uint64_t payload;
    uint32_t payload_size;
};

static int bzimage_parse(const struct file *f, struct bzimage *ret, char *version, size_t version_size,
                         struct err *e)
{
    const uint8_t *h = f->head;
    if (f->head_size < 0x268)
        return err_set(e, EINVAL, "truncated: %ju bytes of a bzImage", (uintmax_t)f->size);
    uint32_t protocol = le16(h + 0x206), setup = 512 * ((h[0x1f1] ? h[0x1f1] : 4) + 1u);
    uint64_t needed = setup + 16 * (uint64_t)(protocol < 0x204 ? le16(h + 0x1f4) : le32(h + 0x1f4));
    if (protocol < 0x200 || !(h[0x211] & 1))
        return err_set(e, ENOTSUP, "a Linux kernel of the old zImage format");
    if (f->size < needed)
        return err_set(e, EINVAL, "truncated: a bzImage of %ju bytes of which %ju are there", (uintmax_t)needed,
                       (uintmax_t)f->size);
    uint32_t at = le16(h + 0x20e) ? le16(h + 0x20e) + 0x200 : HEAD_SIZE;
    char text[128] = "";
    if (le16(h + 0x20e) && read_at(f, text, sizeof(text) - 1, at) == 0) {
        text[strcspn(text, " ")] = '\0';
        snprintf(version, version_size, "%s", text);
    }
    *ret = (struct bzimage){0};
    if (protocol >= 0x208 && (uint64_t)setup + le32(h + 0x248) + le32(h + 0x24c) <= f->size)
        *ret = (struct bzimage){.payload = setup + (uint64_t)le32(h + 0x248), .payload_size = le32(h + 0x24c)};
    return 0;
}

/* --- ELF --- */

static bool notes_have_pvh(const uint8_t *p, size_t n)
{
    while (n >= 12) {
        size_t name_size = le32(p), data_size = le32(p + 4), type = le32(p + 8);
        p += 12;
        n -= 12;
        if (name_size > NOTES_MAX || data_size > NOTES_MAX)
            return false;
        size_t name_room = (name_size + 3) & ~(size_t)3, data_room = (data_size + 3) & ~(size_t)3;
        if (name_room + data_room > n)
            return false;
        if (type == PVH_NOTE_TYPE && name_size == 4 && !memcmp(p, "Xen", 4))
            return true;
        p += name_room + data_room;
        n -= name_room + data_room;
    }
    return false;
}

struct segment {
    uint32_t type;
    uint64_t offset, size;
};

static void segment_read(const uint8_t *p, bool is64, struct segment *ret)
{
    Elf64_Phdr wide;
    Elf32_Phdr narrow;
    if (is64) {
        memcpy(&wide, p, sizeof(wide));
        *ret = (struct segment){wide.p_type, wide.p_offset, wide.p_filesz};
    } else {
        memcpy(&narrow, p, sizeof(narrow));
        *ret = (struct segment){narrow.p_type, narrow.p_offset, narrow.p_filesz};
    }
}

/* Complete, for x86, with a PVH entry. */
static int elf_check(const struct file *f, struct err *e)
{
    const uint8_t *h = f->head;
    bool is64 = h[EI_CLASS] == ELFCLASS64, pvh = false;
    if (f->head_size < sizeof(Elf64_Ehdr))
        return err_set(e, EINVAL, "truncated: %ju bytes of an ELF file", (uintmax_t)f->size);
    uint32_t machine = le16(h + 18);
    if (h[EI_DATA] != ELFDATA2LSB || (machine != EM_X86_64 && machine != EM_386))
        return err_set(e, ENOTSUP, "an ELF file for another machine (%u) than x86", machine);
    uint64_t table = is64 ? le32(h + 32) | (uint64_t)le32(h + 36) << 32 : le32(h + 28);
    size_t count = le16(h + (is64 ? 56 : 44)), each = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    for (size_t i = 0; i < count; i++) {
        uint8_t raw[sizeof(Elf64_Phdr)];
        struct segment segment;
        if (read_at(f, raw, each, table + i * each) < 0)
            return err_set(e, EINVAL, "truncated: an ELF file without all of its program headers");
        segment_read(raw, is64, &segment);
        if (segment.offset > f->size || segment.size > f->size - segment.offset)
            return err_set(e, EINVAL, "truncated: an ELF file without all of its segments");
        if (segment.type != PT_NOTE || segment.size > NOTES_MAX)
            continue;
        _cleanup_free_ uint8_t *notes = xmalloc(segment.size + 1);
        if (read_at(f, notes, segment.size, segment.offset) == 0)
            pvh |= notes_have_pvh(notes, segment.size);
    }
    if (pvh)
        return 0;
    err_set(e, ENOTSUP, "an ELF file without a PVH entry, which QEMU cannot start");
    return err_hint(e, "build the kernel with CONFIG_PVH=y, or use arch/x86/boot/bzImage");
}

/* --- unpacking, once per kernel --- */

/* Fills `out` with the ELF file in the bzImage; -1 when there is none that can be used. */
static int unpack(const struct file *f, const struct bzimage *image, struct buf *out)
{
    _cleanup_free_ uint8_t *payload = NULL;
    if (image->payload_size < 16 || image->payload_size > FILE_MAX)
        return -1;
    payload = xmalloc(image->payload_size);
    if (read_at(f, payload, image->payload_size, image->payload) < 0 ||
        decompress(payload, image->payload_size, out, NULL) < 0)
        return -1;
    return magic_of(buf_head(out), out->len) == MAGIC_ELF ? 0 : -1;
}

static int read_elf(int fd, struct file *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !st.st_size)
        return -1;
    *ret = (struct file){.fd = fd, .size = (uint64_t)st.st_size};
    ssize_t got = pread(fd, ret->head, sizeof(ret->head), 0);
    ret->head_size = got > 0 ? (size_t)got : 0;
    return magic_of(ret->head, ret->head_size) == MAGIC_ELF ? elf_check(ret, NULL) : -1;
}

/* Writes the entry: the ELF file, or nothing when the kernel has none. Returns a descriptor or -1. */
static int make_entry(const char *directory, const char *name, const struct file *f, const struct bzimage *image)
{
    _cleanup_(cache_file_done) struct cache_file entry = CACHE_FILE_INIT;
    _cleanup_buf_ struct buf elf = BUF_INIT(UNPACKED_MAX);
    struct file made;
    if (cache_create(directory, &entry, NULL) < 0 && cache_create_in_memory("kernel", &entry, NULL) < 0)
        return -1;
    if (unpack(f, image, &elf) == 0 && write_full(entry.fd, buf_head(&elf), elf.len) < 0)
        return -1;
    if (elf.len && read_elf(entry.fd, &made) < 0 && ftruncate(entry.fd, 0) < 0)
        return -1;
    if (cache_install(&entry, name, NULL) < 0)
        return -1;
    return cache_file_reopen(&entry, NULL);
}

/* Descriptor of the ELF file, or -1. A damaged entry is made anew. */
static int open_elf_inside(const struct file *f, const struct bzimage *image, const char *hash,
                           const char *scratch_root)
{
    _cleanup_free_ char *directory = path_join(scratch_root, "kernel-cache");
    _cleanup_free_ char *name = xasprintf("%s.elf", hash);
    struct file elf;
    _cleanup_close_ int fd = cache_open(directory, name, -1);
    if (fd >= 0 && read_elf(fd, &elf) < 0 && lseek(fd, 0, SEEK_END) > 0) {
        close_fd(&fd);
        fd = cache_open(directory, name, 0); /* not its size: removes it */
    }
    if (fd < 0)
        fd = make_entry(directory, name, f, image);
    return fd >= 0 && read_elf(fd, &elf) == 0 ? steal_fd(&fd) : -1;
}

/* --- */

static int wrong_arch(const char *is, const char *arch, struct err *e)
{
    err_set(e, EINVAL, "%s kernel, but the profile's arch is %s", is, arch);
    return err_hint(e, "set arch in the profile, or use a kernel for %s", arch);
}

/* Says what the file is, or why it is no kernel for `arch`. */
static int identify(const struct file *f, const char *arch, enum kernel_kind *ret, struct bzimage *image,
                    char *version, size_t version_size, struct err *e)
{
    char description[64];
    bool arm = !strcmp(arch, "aarch64");
    switch (magic_of(f->head, f->head_size)) {
    case MAGIC_BZIMAGE:
        *ret = KERNEL_BZIMAGE;
        return arm ? wrong_arch("an x86", arch, e) : bzimage_parse(f, image, version, version_size, e);
    case MAGIC_ELF:
        *ret = KERNEL_ELF;
        return arm ? wrong_arch("an ELF file, not an aarch64", arch, e) : elf_check(f, e);
    case MAGIC_ARM64_IMAGE:
        *ret = KERNEL_ARM64;
        return arm ? 0 : wrong_arch("an aarch64", arch, e);
    case MAGIC_GZIP:
        *ret = KERNEL_ARM64;
        if (arm)
            return 0;
        break;
    default:
        break;
    }
    if (!f->size)
        err_set(e, EINVAL, "it is empty");
    else
        err_set(e, EINVAL, "it is %s, not a kernel", magic_describe(f->head, f->head_size, description));
    return err_hint(e, arm ? "accepted: Image, Image.gz"
                           : "accepted: bzImage (the file vmlinuz of a distribution), vmlinux with a PVH entry");
}

int kernel_image_open(const char *path, const char *arch, const char *scratch_root, struct kernel_image *ret,
                      struct err *e)
{
    int64_t started = clock_realtime_ns();
    struct file file = {.fd = -1};
    struct bzimage image = {0};
    struct stat st;
    struct kernel_image k = KERNEL_IMAGE_INIT;
    int opened = file_open(&file, path, &st, e);
    _cleanup_close_ int fd = file.fd;
    if (opened < 0)
        return -1;
    if (identify(&file, arch, &k.kind, &image, k.version, sizeof(k.version), e) < 0)
        return err_prefix(e, "kernel `%s`", path);
    if (!hash_recall(scratch_root, "kernel", &st, k.hash)) {
        if (hash_fd(fd, k.hash, e) < 0)
            return err_prefix(e, "kernel `%s`", path);
        hash_remember(scratch_root, "kernel", &st, started, k.hash);
    }
    if (k.kind == KERNEL_BZIMAGE && (k.fd = open_elf_inside(&file, &image, k.hash, scratch_root)) >= 0)
        k.kind = KERNEL_ELF;
    else
        k.fd = steal_fd(&fd);
    *ret = k;
    return 0;
}
