/* What comes between the checks and the first guest. */
#pragma once

#include "cli/options.h"
#include "config/config.h"

/* Tries KVM unless no profile wants it. *ret_note says why it is TCG; malloc'ed. */
bool choose_kvm(const struct options *options, const struct config *config, const struct environment *env,
                char **ret_note);
/* Forks the process that keeps the host's network for bridges with an uplink; it ends with this one. -1: none. */
int start_broker(void);
/* Continues in the inner process. -1, after saying why, if there must be a sandbox and can't. */
int enter_sandbox(enum sandbox_choice choice, bool quiet);
