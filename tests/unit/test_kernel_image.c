#include "unit.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/magic.h"
#include "vm/kernel_image.h"

#define SETUP_SIZE 1024
#define ROOM       (64 << 10)

static char directory[64], *cache;

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/provium-unit-XXXXXX");
    assert_non_null(mkdtemp(directory));
    cache = path_join(directory, "cache");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    _cleanup_free_ char *command = xasprintf("rm -rf '%s'", directory);
    free(steal_ptr(cache));
    return system(command);
}

static char *put(const char *name, const struct buf *content)
{
    char *path = path_join(directory, name);
    assert_int_equal(file_write_atomic(path, buf_head(content), content->len, 0600, false, NULL), 0);
    return path;
}

/* --- samples --- */

static struct buf sample_elf(bool pvh)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment[2];
        struct {
            Elf64_Nhdr header;
            char name[4];
            uint64_t entry;
        } note[2];
        char text[4096];
    } elf = {0};
    memcpy(elf.header.e_ident, "\177ELF\2\1\1", 7);
    elf.header.e_machine = EM_X86_64;
    elf.header.e_phoff = sizeof(elf.header);
    elf.header.e_phentsize = sizeof(elf.segment[0]);
    elf.header.e_phnum = 2;
    elf.segment[0] = (Elf64_Phdr){.p_type = PT_LOAD, .p_offset = sizeof(elf) - sizeof(elf.text), .p_filesz = 4096};
    elf.segment[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = sizeof(elf.header) + sizeof(elf.segment),
                                  .p_filesz = sizeof(elf.note)};
    for (size_t i = 0; i < 2; i++) {
        elf.note[i].header = (Elf64_Nhdr){.n_namesz = 4, .n_descsz = 8, .n_type = i && pvh ? 18 : 6};
        memcpy(elf.note[i].name, "Xen", 4);
    }
    struct buf out = BUF_INIT(ROOM);
    buf_append(&out, &elf, sizeof(elf));
    return out;
}

static size_t pack(enum magic magic, const struct buf *plain, uint8_t *to)
{
    size_t size = 0;
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 6);
    const lzma_filter filters[] = {{LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    z_stream z = {.next_in = buf_head(plain), .avail_in = (unsigned)plain->len, .next_out = to, .avail_out = ROOM};
    switch (magic) {
    case MAGIC_GZIP:
        deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        deflate(&z, Z_FINISH);
        deflateEnd(&z);
        return z.total_out;
    case MAGIC_XZ:
        assert_int_equal(lzma_stream_buffer_encode((lzma_filter *)filters, LZMA_CHECK_CRC32, NULL, buf_head(plain),
                                                   plain->len, to, &size, ROOM), LZMA_OK);
        return size;
    case MAGIC_ZSTD:
        return ZSTD_compress(to, ROOM, buf_head(plain), plain->len, 1);
    case MAGIC_LZ4_LEGACY:
        size = (size_t)LZ4_compress_default((char *)buf_head(plain), (char *)to + 8, (int)plain->len, ROOM - 8);
        memcpy(to, (uint8_t[8]){0x02, 0x21, 0x4c, 0x18, (uint8_t)size, (uint8_t)(size >> 8)}, 8);
        return size + 8;
    default:
        memcpy(to, buf_head(plain), plain->len);
        return plain->len;
    }
}

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Header and payload as the kernel's build lays them out: the uncompressed size follows all but gzip. */
static struct buf sample_bzimage(enum magic magic, const struct buf *payload)
{
    struct buf out = BUF_INIT(4 * ROOM);
    uint8_t *p = buf_reserve(&out, SETUP_SIZE + 2 * ROOM);
    memset(p, 0, SETUP_SIZE + 2 * ROOM);
    size_t size = pack(magic, payload, p + SETUP_SIZE + 0x100);
    if (magic != MAGIC_GZIP) {
        put32(p + SETUP_SIZE + 0x100 + size, (uint32_t)payload->len);
        size += 4;
    }
    p[0x1f1] = SETUP_SIZE / 512 - 1;
    put32(p + 0x1f4, (uint32_t)(0x100 + size + 15) / 16);
    memcpy(p + 0x1fe, "\x55\xaa", 2);
    memcpy(p + 0x202, "HdrS\x0f\x02", 6);
    memcpy(p + 0x20e, "\x80\x01", 2);
    p[0x211] = 1;
    put32(p + 0x248, 0x100);
    put32(p + 0x24c, (uint32_t)size);
    strcpy((char *)p + 0x380, "6.1.0-test (somebody@somewhere) #1");
    buf_commit(&out, SETUP_SIZE + (0x100 + size + 15) / 16 * 16);
    return out;
}

/* --- */

static void expect(const char *path, enum kernel_kind kind, const struct buf *content)
{
    struct kernel_image k = KERNEL_IMAGE_INIT;
    _cleanup_buf_ struct buf got = BUF_INIT(ROOM * 8);
    _cleanup_err_ struct err e = ERR_INIT;
    if (kernel_image_open(path, "x86_64", cache, &k, &e) < 0)
        fail_msg("%s", err_message(&e));
    assert_int_equal(k.kind, kind);
    assert_int_equal(lseek(k.fd, 0, SEEK_SET), 0);
    assert_int_equal(fd_read_all(k.fd, &got, NULL), 0);
    assert_int_equal(got.len, content->len);
    assert_memory_equal(buf_head(&got), buf_head(content), got.len);
    kernel_image_done(&k);
}

static void expect_error(const char *name, const struct buf *content, const char *arch, const char *message)
{
    struct kernel_image k = KERNEL_IMAGE_INIT;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *path = content ? put(name, content) : path_join(directory, name);
    _cleanup_free_ char *expected = xasprintf("kernel `%s`: %s", path, message);
    assert_int_equal(kernel_image_open(path, arch, cache, &k, &e), -1);
    assert_string_equal(err_message(&e), expected);
}

static void payloads_are_unpacked_and_cached(void **state)
{
    (void)state;
    static const enum magic kinds[] = {MAGIC_GZIP, MAGIC_XZ, MAGIC_ZSTD, MAGIC_LZ4_LEGACY};
    _cleanup_buf_ struct buf elf = sample_elf(true);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        _cleanup_buf_ struct buf image = sample_bzimage(kinds[i], &elf);
        _cleanup_free_ char *path = put("bzImage", &image);
        expect(path, KERNEL_ELF, &elf);
        expect(path, KERNEL_ELF, &elf);
    }
    _cleanup_free_ char *command = xasprintf("test $(ls '%s/kernel-cache' | grep -c '^[0-9a-f]\\{64\\}\\.elf$') = 4", cache);
    assert_int_equal(system(command), 0);
}

static void what_cannot_be_unpacked_stays(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf elf = sample_elf(false), pvh = sample_elf(true), text = BUF_INIT(1000);
    buf_append_str(&text, "no ELF file at all");
    struct buf images[] = {sample_bzimage(MAGIC_GZIP, &elf), sample_bzimage(MAGIC_XZ, &text),
                                         sample_bzimage(MAGIC_UNKNOWN, &text), sample_bzimage(MAGIC_GZIP, &pvh),
                                         sample_bzimage(MAGIC_GZIP, &pvh)};
    memset(buf_head(&images[3]) + SETUP_SIZE + 0x140, 0xff, 64);
    put32(buf_head(&images[4]) + 0x24c, 0xfffffff0);
    for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
        _cleanup_free_ char *path = put("bzImage", &images[i]);
        expect(path, KERNEL_BZIMAGE, &images[i]);
        expect(path, KERNEL_BZIMAGE, &images[i]);
        buf_done(&images[i]);
    }
}

static void a_damaged_cache_entry_is_made_anew(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf elf = sample_elf(true);
    _cleanup_buf_ struct buf image = sample_bzimage(MAGIC_ZSTD, &elf);
    _cleanup_free_ char *path = put("bzImage", &image);
    expect(path, KERNEL_ELF, &elf);
    _cleanup_free_ char *command = xasprintf("truncate -s -1 '%s'/kernel-cache/*", cache);
    assert_int_equal(system(command), 0);
    expect(path, KERNEL_ELF, &elf);
}

static void without_a_cache_it_works_in_memory(void **state)
{
    (void)state;
    free(cache);
    cache = xstrdup("/proc/nowhere");
    _cleanup_buf_ struct buf elf = sample_elf(true);
    _cleanup_buf_ struct buf image = sample_bzimage(MAGIC_GZIP, &elf);
    _cleanup_free_ char *path = put("bzImage", &image);
    expect(path, KERNEL_ELF, &elf);
}

static void version_and_elf(void **state)
{
    (void)state;
    struct kernel_image k = KERNEL_IMAGE_INIT;
    _cleanup_buf_ struct buf elf = sample_elf(true);
    _cleanup_buf_ struct buf image = sample_bzimage(MAGIC_GZIP, &elf);
    _cleanup_free_ char *path = put("bzImage", &image), *vmlinux = put("vmlinux", &elf);
    assert_int_equal(kernel_image_open(path, "x86_64", cache, &k, NULL), 0);
    assert_string_equal(k.version, "6.1.0-test");
    assert_int_equal(strlen(k.hash), 64);
    kernel_image_done(&k);
    expect(vmlinux, KERNEL_ELF, &elf);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf elf = sample_elf(true), plain_elf = sample_elf(false), b = BUF_INIT(ROOM);
    _cleanup_buf_ struct buf image = sample_bzimage(MAGIC_GZIP, &elf);
    char message[128];
    expect_error("absent", NULL, "x86_64", "No such file or directory");
    expect_error(".", NULL, "x86_64", "not a regular file");
    expect_error("k", &b, "x86_64", "it is empty");
    buf_append_str(&b, "just text\n");
    expect_error("päth with spaces", &b, "x86_64", "it is text, not a kernel");
    buf_clear(&b);
    buf_append(&b, "\x1f\x8b\x08\0", 4);
    expect_error("k", &b, "x86_64", "it is gzip data, not a kernel");
    snprintf(message, sizeof(message), "truncated: a bzImage of %zu bytes of which %zu are there", image.len, image.len - 1);
    image.len--;
    expect_error("k", &image, "x86_64", message);
    image.len = 0x250;
    expect_error("k", &image, "x86_64", "truncated: 592 bytes of a bzImage");
    expect_error("k", &plain_elf, "x86_64", "an ELF file without a PVH entry, which QEMU cannot start");
    expect_error("k", &elf, "aarch64", "an ELF file, not an aarch64 kernel, but the profile's arch is aarch64");
    elf.len--;
    expect_error("k", &elf, "x86_64", "truncated: an ELF file without all of its segments");
    elf.len = 100;
    expect_error("k", &elf, "x86_64", "truncated: an ELF file without all of its program headers");
    elf.len = 20;
    expect_error("k", &elf, "x86_64", "truncated: 20 bytes of an ELF file");
    buf_clear(&b);
    uint8_t arm[64] = "";
    memcpy(arm + 0x38, "ARM\x64", 4);
    buf_append(&b, arm, sizeof(arm));
    expect_error("k", &b, "x86_64", "an aarch64 kernel, but the profile's arch is x86_64");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(payloads_are_unpacked_and_cached), TEST(what_cannot_be_unpacked_stays),
        TEST(a_damaged_cache_entry_is_made_anew), TEST(without_a_cache_it_works_in_memory),
        TEST(version_and_elf),                  TEST(bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
