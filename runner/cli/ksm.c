#include "cli/ksm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"

static const struct {
    const char *name;
    long value;
} settings[] = {{"pages_to_scan", 1000}, {"sleep_millisecs", 100}, {"run", 1}};

static long read_value(const char *path)
{
    _cleanup_buf_ struct buf text = BUF_INIT(64);
    if (file_read(path, &text, NULL) < 0)
        return -1;
    buf_append_byte(&text, '\0');
    return strtol((const char *)buf_head(&text), NULL, 10);
}

bool ksm_is_writable(const char *directory)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        _cleanup_free_ char *path = path_join(directory, settings[i].name);
        if (access(path, W_OK) < 0)
            return false;
    }
    return true;
}

bool ksm_tune(const char *directory)
{
    bool changed = false;
    if (!ksm_is_writable(directory))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        _cleanup_free_ char *path = path_join(directory, settings[i].name);
        _cleanup_free_ char *text = xasprintf("%ld", settings[i].value);
        if (read_value(path) == settings[i].value)
            continue;
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
        changed = (fd >= 0 && write_full(fd, text, strlen(text)) == 0) || changed;
    }
    return changed;
}
