/* Files are changed in place: they keep their owner and mode, and links to them and mounts of them stay. Content that is
 * right already is not written. */
#include "network_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define FILE_SIZE_MAX (32 * 1024 * 1024)

#define HOSTS_BEGIN   "# provium: begin, kept current\n"
#define HOSTS_END     "# provium: end\n"
#define RESOLV_MARKER "# written by provium; without this line the file is left alone\n"

/* Opens a file of /etc, making it if need be: also in place of a link that leads nowhere. */
static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 && errno == ENOENT) {
        mkdir("/etc", 0755);
        unlink(path);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    }
    return fd;
}

static int replace(int fd, const struct buf *old, const struct buf *new)
{
    if (old->len == new->len && (!new->len || !memcmp(buf_head(old), buf_head(new), new->len)))
        return 0;
    if (lseek(fd, 0, SEEK_SET) < 0 || write_full(fd, buf_head(new), new->len) < 0)
        return -1;
    return ftruncate(fd, (off_t)new->len);
}

/* The last HOSTS_BEGIN before the first HOSTS_END: who edits one of them away loses no line of their own. */
static bool find_block(const struct buf *text, size_t *ret_start, size_t *ret_end)
{
    const uint8_t *head = buf_head(text), *begin = NULL;
    const uint8_t *end = text->len ? memmem(head, text->len, HOSTS_END, strlen(HOSTS_END)) : NULL;
    for (const uint8_t *at = head; end && (at = memmem(at, (size_t)(end - at), HOSTS_BEGIN, strlen(HOSTS_BEGIN))); at++)
        begin = at;
    if (!begin)
        return false;
    *ret_start = (size_t)(begin - head);
    *ret_end = (size_t)(end - head) + strlen(HOSTS_END);
    return true;
}

static int change_hosts(int fd, struct bytes lines)
{
    _cleanup_buf_ struct buf old = BUF_INIT(FILE_SIZE_MAX), new = BUF_INIT(2 * FILE_SIZE_MAX);
    if (fd_read_all(fd, &old, NULL) < 0)
        return -1;
    size_t start = old.len, end = old.len;
    find_block(&old, &start, &end);
    buf_append(&new, buf_head(&old), start);
    if (lines.len) {
        if (start && buf_head(&old)[start - 1] != '\n')
            buf_append_byte(&new, '\n');
        buf_append_str(&new, HOSTS_BEGIN);
        buf_append(&new, lines.data, lines.len);
        buf_append_str(&new, HOSTS_END);
    }
    buf_append(&new, buf_head(&old) + end, old.len - end);
    return replace(fd, &old, &new);
}

static int change_resolv_conf(int fd, struct bytes text, bool force)
{
    _cleanup_buf_ struct buf old = BUF_INIT(FILE_SIZE_MAX), new = BUF_INIT(2 * FILE_SIZE_MAX);
    size_t marker = strlen(RESOLV_MARKER);
    if (fd_read_all(fd, &old, NULL) < 0)
        return -1;
    bool ours = !old.len || (old.len >= marker && !memcmp(buf_head(&old), RESOLV_MARKER, marker));
    if (!ours && !force)
        return 0;
    buf_append_str(&new, RESOLV_MARKER);
    buf_append(&new, text.data, text.len);
    return replace(fd, &old, &new);
}

static void warn(struct buf *warnings, const char *path)
{
    buf_printf(warnings, "%s%s: %s", warnings->len ? "\n" : "", path, strerror(errno));
}

void network_write_hosts(struct bytes lines, struct buf *warnings)
{
    const char *path = "/etc/hosts";
    if (!lines.len && access(path, F_OK) < 0)
        return;
    _cleanup_close_ int fd = open_file(path);
    if (fd < 0 || change_hosts(fd, lines) < 0)
        warn(warnings, path);
}

void network_write_resolv_conf(struct bytes text, bool force, struct buf *warnings)
{
    const char *path = "/etc/resolv.conf";
    if (!text.len)
        return;
    /* A read-only file that is somebody else's is no reason to complain. */
    struct stat st;
    if (!force && access(path, W_OK) < 0 && !stat(path, &st) && st.st_size)
        return;
    _cleanup_close_ int fd = open_file(path);
    if (fd < 0 || change_resolv_conf(fd, text, force) < 0)
        warn(warnings, path);
}
