/* `provium console PROFILE`: QEMU in place of this process, its serial port and monitor on this terminal. Everything is
 * passed by path, so that the printed command works in any shell. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/guests.h"
#include "cli/preflight.h"
#include "cli/say.h"
#include "cli/setup.h"
#include "cli/verb.h"
#include "vm/launch.h"

/* Those that mean nothing to a shell. */
static const char plain_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=@%+";

static void print_quoted(const struct strv *argv)
{
    for (size_t i = 0; i < argv->count; i++) {
        const char *word = argv->items[i];
        bool plain = *word && !word[strspn(word, plain_characters)];
        fputs(i ? " " : "", stdout);
        for (const char *c = plain ? word : "'"; *c; c++)
            putchar(*c);
        for (const char *c = plain ? "" : word; *c; c++) {
            if (*c == '\'')
                fputs("'\\''", stdout);
            else
                putchar(*c);
        }
        fputs(plain ? "" : "'", stdout);
    }
    putchar('\n');
}

/* The file that a descriptor stands for, or NULL when it has no name (any more). */
static char *path_of(int fd)
{
    char path[4096];
    _cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", fd);
    ssize_t n = fd >= 0 ? readlink(link, path, sizeof(path) - 1) : -1;
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    return *path == '/' && access(path, R_OK) == 0 ? xstrdup(path) : NULL;
}

static void add(struct strv *argv, const char *option, const char *value)
{
    strv_add(argv, option);
    strv_add(argv, value);
}

static int compose(struct strv *argv, const struct profile *profile, const struct launch *l, bool agent, struct err *e)
{
    const struct machine *m = &l->boot.machine;
    bool pc = !strcmp(m->arch, "x86_64"), automatic = !strcmp(m->machine, "auto");
    _cleanup_free_ char *kernel = path_of(l->kernel_fd), *initrd = path_of(l->initrd_fd);
    if (!kernel || (l->initrd_fd >= 0 && !initrd)) {
        err_set(e, 0, "the prepared %s has no path", kernel ? "initrd" : "kernel");
        return err_hint(e, "set XDG_CACHE_HOME to a writable directory");
    }
    strv_add(argv, l->qemu);
    strv_add(argv, "-nodefaults");
    add(argv, "-display", "none");
    add(argv, "-serial", "mon:stdio");
    add(argv, "-machine", !automatic ? m->machine : pc ? "q35" : "virt");
    add(argv, "-accel", m->kvm ? "kvm" : "tcg");
    add(argv, "-cpu", strcmp(m->cpu, "auto") ? m->cpu : m->kvm ? "host" : "max");
    strv_add(argv, "-smp");
    strv_addf(argv, "%u", m->cpus);
    strv_add(argv, "-m");
    strv_addf(argv, "%lluM", (unsigned long long)(m->memory_bytes >> 20));
    add(argv, "-kernel", kernel);
    if (initrd)
        add(argv, "-initrd", initrd);
    add(argv, "-append", l->cmdline);
    if (agent && profile->inject_agent) {
        add(argv, "-device", "virtio-serial-pci");
        add(argv, "-chardev", "null,id=agent");
        add(argv, "-device", "virtserialport,chardev=agent,name=org.provium.agent");
    }
    strv_add(argv, "-no-reboot");
    return 0;
}

static int run(const struct options *options, const struct environment *env, const struct config *config,
               const struct profile *declared, struct err *e)
{
    _cleanup_(launch_done) struct launch l = LAUNCH_INIT;
    _cleanup_strv_ struct strv argv = STRV_INIT;
    _cleanup_free_ char *accel_note = NULL;
    struct profile profile = *declared; /* borrowed, but for what the flags change */
    profile.inject_agent = profile.inject_agent && options->agent;
    const struct launch_host host = {.environment = env, .kvm = guests_choose_kvm(options, config, env, &accel_note),
                                     .accel_note = *accel_note ? accel_note : NULL, .no_build = options->no_build};
    bool without_init = !profile.inject_agent && profile.initrd && !strcmp(profile.initrd, BUNDLED_GUEST);
    const char *shell = without_init && !options->kernel_cmdline ? "rdinit=/bin/sh" : NULL;
    const struct launch_options boot = {.memory_bytes = options->memory, .cpus = options->cpus,
                                        .kernel_cmdline = options->kernel_cmdline,
                                        .kernel_cmdline_append = shell};
    if (launch_prepare(&profile, &host, "console", &boot, &l, e) < 0 ||
        compose(&argv, &profile, &l, options->agent, e) < 0)
        return -1;
    for (size_t i = 0; i < options->extra.count; i++)
        strv_add(&argv, options->extra.items[i]);
    if (options->print_command) {
        print_quoted(&argv);
        return 0;
    }
    if (isatty(STDIN_FILENO))
        fputs("Ctrl-A X ends, Ctrl-A C is QEMU's monitor.\r\n", stderr);
    fflush(NULL);
    execv(argv.items[0], argv.items);
    return err_errno(e, "`%s`", argv.items[0]);
}

int verb_console(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_(environment_freep) struct environment *env = setup_environment(options);
    _cleanup_(config_freep) struct config *config = setup_config(options, env, &e);
    const char *only = config && config->profile_count == 1 ? config->profiles[0].name : NULL;
    const char *name = options->operands.count ? options->operands.items[0] : only;
    if (config && !name) {
        _cleanup_free_ char *names = config_profile_names(config);
        err_set(&e, 0, "console: which profile?");
        err_hint(&e, "profiles: %s", names);
    }
    const struct profile *profile = config && name ? config_profile(config, name, &e) : NULL;
    if (profile && !options->no_preflight && preflight(config, env) < 0)
        return EXIT_USAGE;
    if (!profile || run(options, env, config, profile, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    return 0;
}
