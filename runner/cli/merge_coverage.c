/* `provium merge` of what provium-coverage --json has written. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/merge_input.h"
#include "cli/verb.h"
#include "coverage/coverage.h"

#define INPUT_MAX ((size_t)1 << 30)

bool merge_is_coverage(const char *path)
{
    static const char begin[] = "{\"key\":";
    char head[sizeof(begin)] = "";
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(head, 1, sizeof(begin) - 1, file) : 0;
    if (file)
        fclose(file);
    return n == sizeof(begin) - 1 && !strcmp(head, begin);
}

int merge_coverage(const struct options *options, struct err *e)
{
    size_t count;
    _cleanup_buf_ struct buf out = BUF_INIT(INPUT_MAX), page = BUF_INIT(INPUT_MAX);
    _cleanup_(coverage_set_freep) struct coverage_set *set = coverage_set_new();
    for (size_t i = 0; i < options->operands.count; i++) {
        _cleanup_buf_ struct buf text = BUF_INIT(INPUT_MAX);
        const char *path = options->operands.items[i];
        if (file_read(path, &text, e) < 0 || coverage_set_add(set, path, &text, e) < 0)
            return EXIT_USAGE;
    }
    struct coverage *const *reports = coverage_set_end(set, &count);
    for (size_t i = 0; i < count; i++) {
        if (!options->json && i)
            buf_append_byte(&out, '\n');
        (options->json ? coverage_json : coverage_text)(&out, reports[i]);
    }
    if (write_full(STDOUT_FILENO, buf_head(&out), out.len) < 0) {
        err_errno(e, "standard output");
        return EXIT_USAGE;
    }
    if (!options->html)
        return 0;
    coverage_html(&page, reports, count);
    return file_write_atomic(options->html, buf_head(&page), page.len, 0644, false, e) < 0 ? EXIT_USAGE : 0;
}
