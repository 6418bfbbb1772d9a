#include "switch/protocol.h"

#include "base/cleanup.h"
#include "switch/impair.h"
#include "switch/types.h"

#define T struct bridge_options
RECORD(record_bridge_options, T, FIELD(FIELD_STRING, T, subnet4), FIELD(FIELD_STRING, T, subnet6),
       FIELD(FIELD_UNSIGNED, T, mtu), FIELD(FIELD_BOOL, T, raw), FIELD(FIELD_UNSIGNED, T, dhcp),
       FIELD(FIELD_UNSIGNED, T, dns));
#undef T

#define T struct bridge_info
RECORD(record_bridge_info, T, FIELD(FIELD_UNSIGNED, T, id), FIELD(FIELD_UNSIGNED, T, mtu),
       FIELD(FIELD_BOOL, T, raw), FIELD(FIELD_BOOL, T, dhcp), FIELD(FIELD_UNSIGNED, T, dns),
       FIELD(FIELD_TEXT, T, subnet4), FIELD(FIELD_TEXT, T, subnet6), FIELD(FIELD_TEXT, T, gateway4),
       FIELD(FIELD_TEXT, T, gateway6));
#undef T

#define T struct bridge_stats
RECORD(record_bridge_stats, T, FIELD(FIELD_UNSIGNED, T, frames), FIELD(FIELD_UNSIGNED, T, bytes),
       FIELD(FIELD_UNSIGNED, T, delivered), FIELD(FIELD_UNSIGNED, T, duplicated),
       FIELD(FIELD_UNSIGNED, T, corrupted), FIELD(FIELD_UNSIGNED, T, reordered),
       FIELD(FIELD_UNSIGNED, T, errors), FIELD(FIELD_UNSIGNED, T, dropped_link),
       FIELD(FIELD_UNSIGNED, T, dropped_isolation), FIELD(FIELD_UNSIGNED, T, dropped_partition),
       FIELD(FIELD_UNSIGNED, T, dropped_loss), FIELD(FIELD_UNSIGNED, T, dropped_queue));
#undef T

#define T struct member_request
RECORD(record_member_request, T, FIELD(FIELD_STRING, T, name), FIELD(FIELD_UNSIGNED, T, vm));
#undef T

#define T struct member_info
RECORD(record_member_info, T, FIELD(FIELD_TEXT, T, name), FIELD(FIELD_UNSIGNED, T, vm),
       FIELD(FIELD_BOOL, T, connected), FIELD(FIELD_BOOL, T, link), FIELD(FIELD_BOOL, T, isolated),
       FIELD(FIELD_BYTES, T, mac), FIELD(FIELD_TEXT, T, mac_text), FIELD(FIELD_TEXT, T, ip4),
       FIELD(FIELD_TEXT, T, ip6), FIELD(FIELD_UNSIGNED, T, prefix4),
       FIELD(FIELD_UNSIGNED, T, prefix6), FIELD(FIELD_TEXT, T, reserved4),
       FIELD(FIELD_TEXT, T, reserved6));
#undef T

#define T struct nic_counters
RECORD(record_nic_counters, T, FIELD(FIELD_UNSIGNED, T, rx_bytes),
       FIELD(FIELD_UNSIGNED, T, tx_bytes), FIELD(FIELD_UNSIGNED, T, rx_packets),
       FIELD(FIELD_UNSIGNED, T, tx_packets), FIELD(FIELD_UNSIGNED, T, errors),
       FIELD(FIELD_UNSIGNED, T, dropped));
#undef T

#define T struct impairment
RECORD(record_impairment, T, FIELD(FIELD_STRING, T, from), FIELD(FIELD_STRING, T, to),
       FIELD(FIELD_UNSIGNED, T, set), FIELD(FIELD_SIGNED, T, latency),
       FIELD(FIELD_SIGNED, T, jitter), FIELD(FIELD_DOUBLE, T, loss),
       FIELD(FIELD_DOUBLE, T, duplicate), FIELD(FIELD_DOUBLE, T, reorder),
       FIELD(FIELD_DOUBLE, T, corrupt), FIELD(FIELD_UNSIGNED, T, rate));
#undef T

#define T struct capture_options
RECORD(record_capture_options, T, FIELD(FIELD_STRING, T, filter), FIELD(FIELD_BOOL, T, nanoseconds),
       FIELD(FIELD_BOOL, T, delivered));
#undef T

#define T struct capture_stats
RECORD(record_capture_stats, T, FIELD(FIELD_UNSIGNED, T, packets), FIELD(FIELD_UNSIGNED, T, bytes),
       FIELD(FIELD_UNSIGNED, T, dropped));
#undef T

#define T struct guest_nic
RECORD(record_guest_nic, T, FIELD(FIELD_UNSIGNED, T, bridge), FIELD(FIELD_TEXT, T, bridge_name),
       FIELD(FIELD_BYTES, T, mac), FIELD(FIELD_UNSIGNED, T, mtu), FIELD(FIELD_BOOL, T, raw),
       FIELD(FIELD_TEXT, T, ip4), FIELD(FIELD_TEXT, T, ip6), FIELD(FIELD_UNSIGNED, T, prefix4),
       FIELD(FIELD_UNSIGNED, T, prefix6));
#undef T

#define T struct guest_route
RECORD(record_guest_route, T, FIELD(FIELD_TEXT, T, destination), FIELD(FIELD_TEXT, T, gateway));
#undef T

struct id {
    uint32_t id;
};
RECORD(record_id, struct id, FIELD(FIELD_UNSIGNED, struct id, id));
