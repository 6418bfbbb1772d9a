#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/check.h"
#include "cli/guests.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "vm/launch.h"

static const char *const status_words[] = {
    [CHECK_OK] = "ok", [CHECK_WARN] = "warn", [CHECK_FAIL] = "fail"};

static void print_text(const struct check *c)
{
    _cleanup_free_ char *copy = strdup(c->finding);
    char *rest = copy, *line;
    while ((line = strsep(&rest, "\n")))
        printf("%-4s %s: %s\n", status_words[c->status], c->name, line);
    if (c->fix)
        printf("    fix: %s\n", c->fix);
}

static void print_json(const struct check *c)
{
    _cleanup_buf_ struct buf line = BUF_INIT(1 << 20);
    const char *const members[][2] = {
        {"{\"check\":", c->name},
        {",\"status\":", status_words[c->status]},
        {",\"finding\":", c->finding},
        {",\"fix\":", c->fix},
    };
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        buf_append_str(&line, members[i][0]);
        json_append_text(&line, members[i][1]);
    }
    buf_append_str(&line, "}\n");
    fwrite(buf_head(&line), 1, line.len, stdout);
}

/* After everything else, because it builds on it. */
static void try_boot(struct check_list *list, const struct options *options, const struct config *config,
                     const struct environment *env)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *accel_note = NULL;
    const char *name = options->operands.count ? options->operands.items[0] : NULL;
    const struct profile *profile = name ? config_profile(config, name, &e) : config_first_profile(config);
    if (!profile) {
        check_add(list, CHECK_FAIL, "boot", "name a profile of provium.toml", "%s", err_message(&e));
        return;
    }
    const struct launch_host host = {.environment = env, .kvm = guests_choose_kvm(options, config, env, &accel_note),
                                     .no_build = options->no_build, .local = config->local};
    check_boot(list, profile, &host);
}

int verb_doctor(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    if (options->operands.count && !options->boot) {
        err_set(&e, 0, "doctor: a profile goes with --boot");
        err_hint(&e, "`provium doctor --boot %s` boots it; `provium doctor` checks all", options->operands.items[0]);
        say_error(&e);
        return EXIT_USAGE;
    }
    _cleanup_(check_list_done) struct check_list list = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);

    bool local = options->vmm == VMM_LOCAL;
    for (int arch = 0; arch_words[arch] && !local; arch++)
        if (config ? arch_is_used(config, arch) : arch == ARCH_X86_64)
            check_hypervisor(&list, env, arch);
    if (!local)
        check_kvm(&list, config, env);
    if (config)
        check_add(&list, CHECK_OK, "config", NULL, "%s",
                  config->file ? config->file : "none, built-in profile");
    else
        check_add(&list, CHECK_FAIL, "config", "correct the file", "%s", err_message(&e));
    if (config && !local)
        check_profiles(&list, config, env);
    check_temporary(&list, env);
    check_storage(&list, config, env);
    check_limits(&list, options);
    check_sandbox(&list, config);
    check_pressure(&list);
    check_ksm(&list);
    check_watches(&list);
    check_coverage(&list, env);
    check_terminal(&list);
    if (options->boot && config)
        try_boot(&list, options, config, env);

    int rc = 0;
    for (size_t i = 0; i < list.count; i++) {
        if (options->json)
            print_json(&list.items[i]);
        else
            print_text(&list.items[i]);
        if (list.items[i].status == CHECK_FAIL)
            rc = EXIT_TESTS_FAILED;
    }
    return rc;
}
