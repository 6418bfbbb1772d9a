/* The guest's files that name its network. Each adds a line to `warnings` when its file cannot be written. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "wire/bytes.h"

/* Keeps `lines` in a marked block of /etc/hosts; without lines, the block goes. */
void network_write_hosts(struct bytes lines, struct buf *warnings);
/* Writes /etc/resolv.conf if it is absent, empty or of the agent's making, or by `force`. */
void network_write_resolv_conf(struct bytes text, bool force, struct buf *warnings);
