/* The helper: one libslirp instance at the end of a link. */
#pragma once

#include "uplink/uplink.h"

/* Sets everything up, answers on `answer`, then serves the link until it closes. Returns an exit
 * status. */
int uplink_help(const struct uplink_config *config, const struct uplink_port *ports, size_t count,
                int link, int answer);
