#include <stdio.h>

#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "config/build.h"
#include "config/cmdline.h"
#include "config/resolve.h"

/* Builds one profile, finds its files, composes its command line and prints all of it. */
static int prepare(const struct profile *p, const struct environment *env,
                   const struct options *options, struct err *e)
{
    struct build_options build = {.skip = options->no_build};
    _cleanup_(profile_files_done) struct profile_files files = {0};
    _cleanup_free_ char *overlay = NULL, *cmdline = NULL;
    bool chosen;
    if (profile_build(p, env, &build, e) < 0 || profile_resolve(p, env, &files, e) < 0)
        return -1;
    if (p->inject_agent && overlay_find(p, env, &overlay, &chosen, e) < 0)
        return -1;
    struct cmdline_parts parts = {.profile = p->name,
                                  .base = files.cmdline,
                                  .arch = p->arch,
                                  .inject_agent = p->inject_agent};
    if (cmdline_compose(&parts, &cmdline, e) < 0)
        return -1;
    printf("%s\n    kernel   %s\n    initrd   %s\n    overlay  %s\n    cmdline  %s\n", p->name,
           files.kernel, files.initrd ? files.initrd : "(none)",
           !p->inject_agent ? "(none)"
           : overlay        ? overlay
                            : "(built in)",
           cmdline);
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
