/* A provium.toml from anywhere: it loads or is refused with a message, and what it loads can be
 * used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "config/cmdline.h"
#include "config/config.h"

static char *no_environment(const char *name)
{
    return !strcmp(name, "HOME") ? "/home/me" : NULL;
}

static void use(const struct config *config)
{
    for (size_t i = 0; i < config->profile_count; i++) {
        const struct profile *p = &config->profiles[i];
        _cleanup_free_ char *cmdline = NULL;
        struct cmdline_parts parts = {.profile = p->name,
                                      .base = p->cmdline,
                                      .arch = p->arch,
                                      .inject_agent = p->inject_agent};
        if (p->cmdline && cmdline_compose(&parts, &cmdline, NULL) == 0 &&
            strlen(cmdline) > CMDLINE_MAX)
            abort();
        if (config_profile(config, p->name, NULL) != p || (!p->kernel && !p->root))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct environment *env;
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_close_ int fd = memfd_create("provium.toml", MFD_CLOEXEC);
    if (!env)
        env = environment_new(no_environment, NULL);
    if (fd < 0 || write_full(fd, data, size) < 0)
        return 0;
    _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
    _cleanup_(config_freep) struct config *config = config_load(path, env, &e);
    if (config)
        use(config);
    else if (!e.message || !*e.message)
        abort();
    return 0;
}
