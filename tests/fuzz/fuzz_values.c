/* The parsers of sizes, durations and kernel command lines on one text, which is split in two at
 * its first `|`. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/cmdline.h"
#include "config/values.h"

static void check_numbers(const char *text)
{
    uint64_t bytes = 0;
    int64_t ns = 0;
    if (size_parse(text, &bytes, NULL) == 0) {
        _cleanup_free_ char *shown = size_format(bytes);
        if (bytes > INT64_MAX || !*shown)
            abort();
    }
    if (duration_parse(text, &ns, NULL) == 0) {
        _cleanup_free_ char *shown = duration_format(ns);
        if (ns < 0 || !*shown)
            abort();
    }
}

static void check_cmdline(const char *base, const char *append)
{
    _cleanup_free_ char *once = NULL, *twice = NULL;
    struct cmdline_parts parts = {
        .profile = "p", .base = base, .append = append, .inject_agent = true};
    if (cmdline_compose(&parts, &once, NULL) < 0)
        return;
    /* A composed line has all that it needs: composing it again adds nothing. */
    parts = (struct cmdline_parts){.profile = "p", .base = once, .inject_agent = true};
    if (cmdline_compose(&parts, &twice, NULL) < 0 || strcmp(once, twice))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = xstrndup((const char *)data, size);
    check_numbers(text);
    char *append = strchr(text, '|');
    if (append)
        *append++ = '\0';
    check_cmdline(text, append);
    return 0;
}
