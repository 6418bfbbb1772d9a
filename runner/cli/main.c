#include <stdio.h>
#include <stdlib.h>

#include "cli/help.h"
#include "cli/say.h"
#include "cli/verb.h"
#include "pool/worker.h"

int main(int argc, char **argv)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(options_done) struct options options = {0};
    if (options_parse(argc - 1, argv + 1, &options, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    options.argv = argv;
    const char *link_fd = getenv(WORKER_FD_VARIABLE);
    if (link_fd)
        return verb_worker(&options, link_fd);
    if (options.version)
        version_print(stdout);
    else if (options.help)
        help_print(stdout, options.verb);
    else
        return options.verb->run(&options);
    return 0;
}
