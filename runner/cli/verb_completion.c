#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "cli/complete.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"

static void print_profiles(const struct config *config)
{
    for (size_t i = 0; i < config->profile_count; i++)
        puts(config->profiles[i].name);
}

/* As `provium fixture build` takes them: below their root, without the suffix. */
static void print_fixtures(const struct config *config)
{
    static const char suffix[] = ".fixture.lua";
    struct discovery found = {0};
    if (discover(&STRV_INIT, &config->roots, suffix, &found, NULL) < 0)
        return;
    for (size_t i = 0; i < found.count; i++)
        printf("%.*s\n", (int)(strlen(found.files[i].relative) - strlen(suffix)), found.files[i].relative);
    discovery_done(&found);
}

static void print_snapshots(const struct environment *env)
{
    const char *own = getenv("PROVIUM_SNAPSHOTS"), *data = getenv("XDG_DATA_HOME");
    _cleanup_free_ char *path = own && *own     ? path_absolute(own)
                                : data && *data ? path_join(data, "provium/snapshots")
                                                : path_join(env->home ? env->home : "/", ".local/share/provium/snapshots");
    _cleanup_closedir_ DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (*entry->d_name != '.')
            puts(entry->d_name);
}

int verb_completion(const struct options *options)
{
    const char *what = options->operands.count ? options->operands.items[0] : "";
    if (completion_script(stdout, what))
        return 0;
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, NULL);
    if (!strcmp(what, "snapshots")) {
        print_snapshots(env);
    } else if (!strcmp(what, "profiles") || !strcmp(what, "fixtures")) {
        if (config)
            (*what == 'p' ? print_profiles : print_fixtures)(config);
    } else {
        _cleanup_err_ struct err e = ERR_INIT;
        err_set(&e, 0, *what ? "completion: bash, zsh or fish? (got `%s`)" : "completion: bash, zsh or fish?", what);
        say_error(&e);
        return EXIT_USAGE;
    }
    return 0;
}
