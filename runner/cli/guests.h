/* What comes before the first guest, whatever the command. */
#pragma once

#include "cli/options.h"
#include "config/config.h"
#include "config/environment.h"

/* Tries KVM unless no profile wants it. *ret_note says why it is TCG; malloc'ed. */
bool guests_choose_kvm(const struct options *options, const struct config *config, const struct environment *env,
                       char **ret_note);
/* Forks the process that keeps the host's network for bridges with an uplink; it ends with this one. Before the sandbox. -1:
 * none. */
int guests_start_broker(void);
/* Continues in the inner process. -1 when it must be and cannot, after saying why. */
int guests_enter_sandbox(enum sandbox_choice choice, bool quiet);
/* Names this run among all runs; malloc'ed. */
char *guests_make_run_id(void);
