#pragma once

#include "call.h"

/* Operation configure_network. */
void network_configure(struct call *call);
