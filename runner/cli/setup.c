#include "cli/setup.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/say.h"
#include "cli/verb.h"

struct environment *setup_environment(const struct options *options)
{
    struct environment *env = environment_new(getenv, NULL);
    if (options->qemu) {
        free(env->qemu);
        env->qemu =
            strchr(options->qemu, '/') ? path_absolute(options->qemu) : xstrdup(options->qemu);
    }
    return env;
}

static int apply(struct config *config, const struct environment *env,
                 const struct options *options, enum config_override_kind kind, struct err *e)
{
    static const char *const flags[] = {"--kernel", "--initrd", "--append"};
    const struct strv *values[] = {&options->kernels, &options->initrds, &options->appends};
    for (size_t i = 0; i < values[kind]->count; i++)
        if (config_override(config, kind, values[kind]->items[i], env, e) < 0)
            return err_prefix(e, "%s", flags[kind]);
    return 0;
}

struct config *setup_config(const struct options *options, const struct environment *env,
                            struct err *e)
{
    _cleanup_(config_freep) struct config *config = config_load(options->config, env, e);
    if (!config || apply(config, env, options, OVERRIDE_KERNEL, e) < 0 ||
        apply(config, env, options, OVERRIDE_INITRD, e) < 0 ||
        apply(config, env, options, OVERRIDE_APPEND, e) < 0)
        return NULL;
    for (size_t i = 0; options->accel >= 0 && i < config->profile_count; i++)
        config->profiles[i].accel = (enum accel_choice)options->accel;
    if (options->ahead >= 0)
        config->ahead = (enum ahead_choice)options->ahead;
    if (options->sandbox >= 0)
        config->sandbox = (enum sandbox_choice)options->sandbox;
    config->local = options->vmm == VMM_LOCAL;
    return steal_ptr(config);
}

/* A first operand that does not exist may be a misspelt command, or one that other programs have. */
static void suggest_command(const struct options *options, struct err *e)
{
    static const char *const elsewhere[][2] = {
        {"run", "tests run without a command: `provium [PATH...]`"},
        {"test", "tests run without a command: `provium [PATH...]`"},
        {"help", "that is `provium --help`"},
        {"version", "that is `provium --version`"},
    };
    const char *names[16];
    size_t count = 0;
    if (!e || e->code != ENOENT)
        return;
    err_hint(e, "a path is a test file, or a directory with files *.test.lua in it; `provium --help` lists the commands");
    if (options->verb->name || access(options->operands.items[0], F_OK) == 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
        if (!strcmp(options->operands.items[0], elsewhere[i][0])) {
            err_hint(e, "%s", elsewhere[i][1]);
            return;
        }
    for (size_t i = 0; i < verb_count && count < ARRAY_SIZE(names); i++)
        if (verbs[i].name)
            names[count++] = verbs[i].name;
    const char *first = options->operands.items[0];
    const char *nearest = str_nearest(first, names, count);
    if (nearest)
        err_hint(e, "did you mean the command `%s`?", nearest);
}

int setup_files(const struct options *options, const struct config *config, struct discovery *ret,
                struct err *e)
{
    if (discover(&options->operands, &config->roots, options->fixtures ? ".fixture.lua" : ".test.lua", ret, e) < 0) {
        if (options->operands.count)
            suggest_command(options, e);
        return -1;
    }
    for (size_t i = 0; i < ret->warnings.count; i++)
        say_warning("%s", ret->warnings.items[i]);
    if (options->filter)
        discovery_filter(ret, options->filter);
    return 0;
}
