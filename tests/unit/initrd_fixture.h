/* A directory of its own for each test, and archives to put there. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cache.h"
#include "initrd/cpio.h"
#include "initrd/magic.h"
#include "initrd/merge.h"
#include "initrd/scan.h"

static char directory[64], *cache;

static char *at(const char *name)
{
    return path_join(directory, name);
}

static int setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/provium-unit-XXXXXX");
    assert_non_null(mkdtemp(directory));
    cache = at("cache dir");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    _cleanup_free_ char *command = xasprintf("chmod -R u+w '%s'; rm -rf '%s'", directory, directory);
    free(steal_ptr(cache));
    return system(command);
}

static char *put(const char *name, const struct buf *content)
{
    char *path = at(name);
    assert_int_equal(file_write_atomic(path, buf_head(content), content->len, 0600, false, NULL), 0);
    return path;
}

static void add(struct buf *archive, const char *name, uint32_t mode, const char *content)
{
    struct cpio_entry entry = {.name = name, .mode = mode, .links = 1, .size = (uint32_t)strlen(content)};
    assert_int_equal(cpio_append(archive, &entry, content), 0);
}

static struct buf sample(const char *marker)
{
    struct buf archive = BUF_INIT(1 << 20);
    add(&archive, "etc", S_IFDIR | 0755, "");
    add(&archive, "sbin", S_IFLNK | 0777, "usr/bin");
    add(&archive, marker, S_IFREG | 0755, "#!/bin/sh\n");
    cpio_finish(&archive);
    return archive;
}

static struct buf compressed(enum magic magic, const struct buf *plain)
{
    struct buf out = BUF_INIT(1 << 20);
    uint8_t *to = buf_reserve(&out, 1 << 16);
    size_t size = 0;
    if (magic == MAGIC_GZIP) {
        z_stream z = {.next_in = buf_head(plain), .avail_in = (unsigned)plain->len, .next_out = to, .avail_out = 1 << 16};
        deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        size = z.total_out;
        deflateEnd(&z);
    } else if (magic == MAGIC_XZ) {
        assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, buf_head(plain), plain->len, to, &size,
                                                 1 << 16), LZMA_OK);
    } else {
        size = ZSTD_compress(to, 1 << 16, buf_head(plain), plain->len, 1);
        assert_false(ZSTD_isError(size));
    }
    buf_commit(&out, size);
    return out;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
