/* The hidden side of `provium [PATH...]`: the process of one test file, started by the dispatcher with the same
 * command line. */
#include <stdlib.h>
#include <string.h>

#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "pool/worker.h"

int verb_worker(const struct options *options, const char *link_fd)
{
    _cleanup_err_ struct err e = ERR_INIT;
    const char *filter = getenv(WORKER_FILTER_VARIABLE);
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    if (!config) {
        say_error(&e); /* it changed under us: the dispatcher could load it */
        return EXIT_USAGE;
    }
    const struct worker_settings settings = {
        .config = config,
        .environment = env,
        .filter_json = filter ? filter : "{}",
        .timeout_ns = options->timeout_ns,
        .no_build = options->no_build,
        .show_progress = !options->quiet && !options->no_progress,
        .fixture = options->verb->bit == VERB_FIXTURE ? options->operands.items[1] : NULL,
        .build_again = options->verb->bit == VERB_FIXTURE && !strcmp(options->operands.items[0], "rebuild"),
    };
    unsetenv(WORKER_FD_VARIABLE);
    unsetenv(WORKER_FILTER_VARIABLE);
    return worker_main(atoi(link_fd), &settings);
}
