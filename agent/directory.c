/* listdir: the body is one record per entry, `<type letter><name>NUL`, in the order of the file system. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "files.h"

static const struct {
    mode_t mode;
    unsigned char dirent;
    char letter;
} types[] = {
    {S_IFREG, DT_REG, 'f'},   {S_IFDIR, DT_DIR, 'd'}, {S_IFLNK, DT_LNK, 'l'}, {S_IFIFO, DT_FIFO, 'p'},
    {S_IFSOCK, DT_SOCK, 's'}, {S_IFBLK, DT_BLK, 'b'}, {S_IFCHR, DT_CHR, 'c'},
};

char entry_letter(mode_t mode)
{
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if ((mode & S_IFMT) == types[i].mode)
            return types[i].letter;
    return 'o';
}

static char letter_of(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (entry->d_type == types[i].dirent)
            return types[i].letter;
    if (entry->d_type == DT_UNKNOWN && !fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
        return entry_letter(st.st_mode);
    return 'o';
}

static int send_entries(struct call *call, DIR *dir, uint64_t *ret_count)
{
    _cleanup_buf_ struct buf records = BUF_INIT(PIECE_MAX);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno) {
            call_fail(call, errno);
            return -1;
        }
        if (!entry)
            break;
        const char *name = entry->d_name;
        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
            continue;
        if (records.len + strlen(name) + 2 > records.max) {
            if (call_send(call, buf_head(&records), records.len) < 0)
                return -1;
            buf_clear(&records);
        }
        buf_append_byte(&records, (uint8_t)letter_of(dir, entry));
        buf_append(&records, name, strlen(name) + 1);
        ++*ret_count;
    }
    return call_send(call, buf_head(&records), records.len);
}

void files_listdir(struct call *call)
{
    const struct args_path *args = call_args(call);
    struct value_count value = {0};
    _cleanup_free_ char *path = call_string(call, args->path);
    _cleanup_closedir_ DIR *dir = path ? opendir(path) : NULL;
    if (dir && !send_entries(call, dir, &value.count))
        call_value(call, &value);
    else if (path && !dir)
        call_fail(call, errno);
}
