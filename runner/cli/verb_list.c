#include <stdio.h>

#include "base/json.h"
#include "cli/say.h"
#include "cli/select.h"
#include "cli/setup.h"
#include "cli/verb.h"

#define LINE_MAX_BYTES (1 << 16)

static void print_json(const struct dispatch_file *file)
{
    _cleanup_buf_ struct buf line = BUF_INIT(LINE_MAX_BYTES);
    buf_append_str(&line, "{\"path\":");
    json_append_text(&line, file->path);
    buf_append_str(&line, "}\n");
    fwrite(buf_head(&line), 1, line.len, stdout);
}

int verb_list(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(selection_done) struct selection files = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    if (!config || select_files(options, env, config, options->seed, &files, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < files.count; i++) {
        if (options->json)
            print_json(&files.files[i]);
        else
            puts(files.files[i].path);
    }
    if (!files.count)
        say_note("no %s found", options->fixtures ? "fixtures" : "test files");
    return 0;
}
