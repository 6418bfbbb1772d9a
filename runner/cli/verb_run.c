#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"

int verb_run(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(discovery_done) struct discovery files = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    if (!config || setup_files(options, config, &files, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (!config->file && !options->quiet)
        say_note("no provium.toml here: using the built-in profile `%s`", DEFAULT_PROFILE);
    if (!files.count) {
        say_note("no test files found");
        return 0;
    }
    err_set(&e, 0, "this build has no dispatcher to run %zu files", files.count);
    say_error(&e);
    return EXIT_USAGE;
}
