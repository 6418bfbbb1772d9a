#include "initrd/hash.h"

#include <fcntl.h>
#include <nettle/base16.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cache.h"

#define PIECE (256 << 10)

void hash_finish(struct sha256_ctx *hash, char out[static HASH_HEX_SIZE])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(hash, sizeof(digest), digest);
    base16_encode_update(out, sizeof(digest), digest);
    out[HASH_HEX_SIZE - 1] = 0;
}

void hash_bytes(const void *p, size_t n, char out[static HASH_HEX_SIZE])
{
    struct sha256_ctx hash;
    sha256_init(&hash);
    sha256_update(&hash, n, p);
    hash_finish(&hash, out);
}

int hash_fd(int fd, char out[static HASH_HEX_SIZE], struct err *e)
{
    _cleanup_free_ uint8_t *piece = xmalloc(PIECE);
    struct sha256_ctx hash;
    sha256_init(&hash);
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(e, "seek");
    for (;;) {
        ssize_t got = read_full(fd, piece, PIECE);
        if (got < 0)
            return err_errno(e, "read");
        sha256_update(&hash, (size_t)got, piece);
        if (got < PIECE)
            break;
    }
    hash_finish(&hash, out);
    return 0;
}

static int64_t ns(struct timespec t)
{
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}


static char *memory_name(const char *kind, const struct stat *st)
{
    return xasprintf("%s-%jx-%jx-%jx-%jx-%jx", kind, (uintmax_t)st->st_dev, (uintmax_t)st->st_ino,
                     (uintmax_t)st->st_size, (uintmax_t)ns(st->st_mtim), (uintmax_t)ns(st->st_ctim));
}

bool hash_recall(const char *scratch_root, const char *kind, const struct stat *st, char out[static HASH_HEX_SIZE])
{
    _cleanup_free_ char *directory = path_join(scratch_root, "hashes");
    _cleanup_free_ char *name = memory_name(kind, st);
    _cleanup_close_ int fd = cache_open(directory, name, HASH_HEX_SIZE - 1);
    char hex[HASH_HEX_SIZE] = "";
    if (fd < 0 || read_full(fd, hex, sizeof(hex) - 1) != sizeof(hex) - 1 ||
        strspn(hex, "0123456789abcdef") != sizeof(hex) - 1)
        return false;
    memcpy(out, hex, sizeof(hex));
    return true;
}

void hash_remember(const char *scratch_root, const char *kind, const struct stat *st, int64_t started,
                   const char *hex)
{
    if (ns(st->st_mtim) > started - NS_PER_S || ns(st->st_ctim) > started - NS_PER_S)
        return;
    _cleanup_free_ char *directory = path_join(scratch_root, "hashes");
    _cleanup_free_ char *name = memory_name(kind, st);
    _cleanup_(cache_file_done) struct cache_file file = CACHE_FILE_INIT;
    if (cache_create(directory, &file, NULL) == 0 && write_full(file.fd, hex, HASH_HEX_SIZE - 1) == 0)
        cache_install(&file, name, NULL);
}

int hash_file(const char *path, const char *scratch_root, const char *kind, char out[static HASH_HEX_SIZE],
              struct err *e)
{
    int64_t started = clock_realtime_ns();
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(e, "`%s`", path);
    if (hash_recall(scratch_root, kind, &st, out))
        return 0;
    if (hash_fd(fd, out, e) < 0)
        return err_prefix(e, "`%s`", path);
    hash_remember(scratch_root, kind, &st, started, out);
    return 0;
}
