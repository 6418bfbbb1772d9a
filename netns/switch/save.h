/* What a lab snapshot keeps of a bridge: options, subnet, members' names, numbers and MACs,
 * partitions, isolation, rules, positions of the random streams. Not kept: frames, MAC table,
 * leases, counters. Routes and uplinks are the caller's. */
#pragma once

#include "base/buf.h"
#include "switch/switch.h"
#include "wire/bytes.h"

int bridge_save(const struct bridge *b, struct buf *out, struct err *e);
/* Makes the bridge anew, with the VM numbers given for its members' names (others: 0). Its subnet
 * may be in use by another bridge, as after a second restore; the two then can't be routed to each
 * other. */
struct bridge *bridge_load(struct netswitch *s, struct bytes saved,
                           const struct member_request *vms, size_t count, struct err *e);
