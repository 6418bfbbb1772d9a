/* Runs the fuzz target on every file of a directory. */
#include <dirent.h>
#include <stdio.h>

#include "base/io.h"
#include "base/strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    _cleanup_closedir_ DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
        return 2;
    }
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        _cleanup_err_ struct err e = ERR_INIT;
        _cleanup_free_ char *path = path_join(argv[1], entry->d_name);
        _cleanup_buf_ struct buf input = BUF_INIT(1 << 24);
        if (entry->d_name[0] == '.')
            continue;
        if (file_read(path, &input, &e) < 0) {
            fprintf(stderr, "%s\n", err_message(&e));
            return 1;
        }
        LLVMFuzzerTestOneInput(input.len ? buf_head(&input) : (const uint8_t *)"", input.len);
        count++;
    }
    printf("%u inputs\n", count);
    return count ? 0 : 1;
}
