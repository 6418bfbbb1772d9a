#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/check.h"
#include "cli/setup.h"
#include "cli/verb.h"

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

int verb_doctor(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(check_list_done) struct check_list list = {0};
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);

    for (int arch = 0; arch_words[arch]; arch++)
        if (config ? arch_is_used(config, arch) : arch == ARCH_X86_64)
            check_hypervisor(&list, env, arch);
    check_kvm(&list, config, env);
    if (config)
        check_add(&list, CHECK_OK, "config", NULL, "%s",
                  config->file ? config->file : "none, built-in profile");
    else
        check_add(&list, CHECK_FAIL, "config", "correct the file", "%s", err_message(&e));
    if (config)
        check_profiles(&list, config, env);
    check_temporary(&list, env);
    check_storage(&list, config, env);
    check_limits(&list, options);
    check_sandbox(&list, config);

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
