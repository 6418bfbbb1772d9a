#include "uplink/uplink.h"

#include "base/cleanup.h"

#define T struct uplink_config
RECORD(record_uplink_config, T, FIELD(FIELD_UNSIGNED, T, net4), FIELD(FIELD_UNSIGNED, T, prefix4),
       FIELD(FIELD_UNSIGNED, T, gateway4), FIELD(FIELD_BOOL, T, has6), FIELD(FIELD_BYTES, T, net6),
       FIELD(FIELD_BYTES, T, gateway6), FIELD(FIELD_UNSIGNED, T, mtu),
       FIELD(FIELD_BOOL, T, host_loopback));
#undef T

#define T struct uplink_port
RECORD(record_uplink_port, T, FIELD(FIELD_TEXT, T, bind), FIELD(FIELD_TEXT, T, guest),
       FIELD(FIELD_UNSIGNED, T, host_port), FIELD(FIELD_UNSIGNED, T, guest_port),
       FIELD(FIELD_BOOL, T, udp));
#undef T

#define T struct uplink_state
RECORD(record_uplink_state, T, FIELD(FIELD_BOOL, T, icmp), FIELD(FIELD_BOOL, T, ipv6));
#undef T

RECORD(record_uplink_text, struct uplink_text, FIELD(FIELD_TEXT, struct uplink_text, text));
RECORD(record_uplink_number, struct uplink_number,
       FIELD(FIELD_UNSIGNED, struct uplink_number, number));
