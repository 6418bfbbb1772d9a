/* The kernel command line of a boot (docs/config.md, "Command line"). */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "config/config.h"

#define AGENT_RDINIT "/sbin/provium-agent"
#define CMDLINE_MAX 2047 /* COMMAND_LINE_SIZE - 1 on x86_64 and arm64 */

struct cmdline_parts {
    const char *profile; /* for messages */
    const char *base;    /* boot option kernel_cmdline, else the profile's */
    const char *append;  /* boot option kernel_cmdline_append, or NULL */
    enum guest_arch arch;
    bool inject_agent;
};

/* Joins the parts and adds the console and rdinit= where they are missing, before a `--`. Pure. */
int cmdline_compose(const struct cmdline_parts *parts, char **ret_cmdline, struct err *e);
/* Two command lines as one: what follows a `--` stays behind it. `append` may be NULL. malloc'ed.
 */
char *cmdline_join(const char *base, const char *append);
