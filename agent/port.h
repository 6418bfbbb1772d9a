/* Finding the channel inside a guest. */
#pragma once

#include "agent.h"

/* Waits until there is one; fills in fd, device and channel_name. */
void port_open(struct agent_options *options);
