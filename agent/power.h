/* Ending the guest, where the agent is pid 1. */
#pragma once

#include <signal.h>

#include "call.h"

/* Adds the signals that ask pid 1 for something: SIGUSR2 power off, SIGUSR1 halt, SIGTERM and SIGINT (ctrl-alt-del)
 * reboot, as busybox's tools send them. */
void power_signals(sigset_t *set);
void power_signal(int signal_number);
/* Operation poweroff. */
void power_op(struct call *call);
