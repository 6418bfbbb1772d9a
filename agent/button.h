/* The ACPI power button, where the agent is pid 1. */
#pragma once

#include "agent.h"

/* Loads its driver and listens to it, in the background, when the host leaves it time; a press powers the guest off. */
void button_watch(struct agent *a);
/* What is left to do for that, at once. */
void button_settle(struct agent *a);
