/* cpio-list LIST OUT: writes a newc archive from a list, one member a line, NAME without spaces:
 *
 *     NAME dir   MODE
 *     NAME file  MODE SOURCE
 *     NAME slink MODE TARGET
 *
 * Owner 0:0, time 0, sorted by name: equal input gives equal bytes. Build tool of the bundled guest. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cpio.h"

#define ARCHIVE_MAX ((size_t)1 << 30)
#define NAME_SIZE   1024

/* Fills `entry` and `data` from one line. */
static int parse_line(const char *line, char name[static NAME_SIZE], struct cpio_entry *entry, struct buf *data,
                      struct err *e)
{
    char kind[8], text[3072] = "";
    unsigned mode;
    int fields = sscanf(line, "%1023s %7s %o %3071[^\n]", name, kind, &mode, text);
    *entry = (struct cpio_entry){.name = name, .links = 1};
    if (fields == 3 && !strcmp(kind, "dir")) {
        entry->mode = S_IFDIR | mode;
        entry->links = 2;
    } else if (fields == 4 && !strcmp(kind, "file")) {
        entry->mode = S_IFREG | mode;
        if (file_read(text, data, e) < 0)
            return -1;
    } else if (fields == 4 && !strcmp(kind, "slink")) {
        entry->mode = S_IFLNK | mode;
        buf_append_str(data, text);
    } else {
        return err_set(e, EINVAL, "bad line `%s`", line);
    }
    entry->size = (uint32_t)data->len;
    return 0;
}

static int build(const char *list, struct buf *out, struct err *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT(16 << 20);
    _cleanup_strv_ struct strv lines = STRV_INIT;
    char name[NAME_SIZE], *rest;
    if (file_read(list, &text, e) < 0)
        return -1;
    _cleanup_free_ char *copy = buf_steal_str(&text);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        strv_add(&lines, line);
    strv_sort(&lines);
    for (size_t i = 0; i < lines.count; i++) {
        _cleanup_buf_ struct buf data = BUF_INIT(ARCHIVE_MAX);
        struct cpio_entry entry;
        if (parse_line(lines.items[i], name, &entry, &data, e) < 0)
            return -1;
        entry.inode = (uint32_t)i + 1;
        if (cpio_append(out, &entry, buf_head(&data)) < 0)
            return err_set(e, EFBIG, "the archive is larger than 1 GiB");
    }
    return cpio_finish(out);
}

int main(int argc, char **argv)
{
    _cleanup_buf_ struct buf out = BUF_INIT(ARCHIVE_MAX);
    _cleanup_err_ struct err e = ERR_INIT;
    if (argc != 3) {
        fprintf(stderr, "usage: cpio-list LIST OUT\n");
        return 2;
    }
    if (build(argv[1], &out, &e) < 0 || file_write_atomic(argv[2], buf_head(&out), out.len, 0644, false, &e) < 0) {
        fprintf(stderr, "cpio-list: %s\n", err_message(&e));
        return 1;
    }
    return 0;
}
