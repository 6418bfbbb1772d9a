#include <stdio.h>

#include "cli/help.h"
#include "cli/say.h"
#include "cli/verb.h"

int main(int argc, char **argv)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(options_done) struct options options = {0};
    if (options_parse(argc - 1, argv + 1, &options, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    if (options.version)
        version_print(stdout);
    else if (options.help)
        help_print(stdout, options.verb);
    else
        return options.verb->run(&options);
    return 0;
}
