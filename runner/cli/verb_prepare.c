#include <stdio.h>

#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "vm/launch.h"

/* Builds one profile, fills the caches with what its boots need and prints what they will use. */
static int prepare(const struct profile *p, const struct environment *env, const struct options *options, struct err *e)
{
    const struct launch_host host = {.environment = env, .no_build = options->no_build};
    const struct launch_options none = {0};
    _cleanup_(launch_done) struct launch l = LAUNCH_INIT;
    if (launch_prepare_files(p, &host, &none, &l, e) < 0)
        return -1;
    if (l.warning)
        say_warning("%s", l.warning);
    printf("%s\n    kernel   %s\n    initrd   %s\n    overlay  %s\n    cmdline  %s\n", p->name, l.files.kernel,
           l.files.initrd ? l.files.initrd : "(none)",
           !p->inject_agent ? "(none)"
           : l.overlay_path ? l.overlay_path
                            : "(built in)",
           l.cmdline);
    return 0;
}

int verb_prepare(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    const char *only = options->operands.count ? options->operands.items[0] : NULL;
    if (!config || (only && !config_profile(config, only, &e))) {
        say_error(&e);
        return EXIT_USAGE;
    }
    int rc = 0;
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *p = &config->profiles[i];
        /* The built-in profile counts only when asked for, or alone. */
        if (only ? p != config_profile(config, only, NULL) : !p->file && config->profile_count > 1)
            continue;
        if (prepare(p, env, options, &e) < 0) {
            say_error(&e);
            rc = EXIT_USAGE;
        }
    }
    return rc;
}
