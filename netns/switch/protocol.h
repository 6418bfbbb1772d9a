/* The control channel between a runner and its switch process: an AF_UNIX stream of messages, each
 * a 32-bit big-endian length and that many bytes of MessagePack.
 *
 *   request:  verb (integer), then the verb's values; descriptors ride on the message's first byte
 *   reply:    true, then the verb's values; or false, code, message, hint (string or nil)
 *
 * Requests are answered in their order, one reply each. Both ends are the same program; a malformed
 * request ends the switch. */
#pragma once

#include "switch/record.h"

#define CONTROL_MESSAGE_MAX (16u << 20)
#define CONTROL_LIST_MAX    65536 /* items in any list */

/* The verbs, with the values of request → reply:
 *
 *   bridge_new      name, bridge_options → bridge_info
 *   bridge_close    bridge →
 *   bridge_info     bridge → bridge_info
 *   bridge_stats    bridge → bridge_stats
 *   attach          bridge, [member_request] → [member_info]
 *   detach          bridge, name →
 *   connect         bridge, name + descriptor →
 *   set_link        bridge, name, up →
 *   members         bridge → [member_info]
 *   member          bridge, name → member_info
 *   counters        bridge, name → nic_counters
 *   guest_plan      vm → [guest_nic, [guest_route]…], hosts, resolv, force
 *   partition       bridge, a, b, directional, on →
 *   partition_all   bridge, on →
 *   is_partitioned  bridge, a, b → bool
 *   isolate         bridge, name, on →
 *   impair          bridge, impairment →
 *   impairments     bridge → [impairment]
 *   seed            bridge, integer →
 *   reset           bridge →
 *   route           bridge, [bridge] →
 *   unroute         bridge, bridge →
 *   routes          bridge → [id]
 *   uplink_start    bridge, ipv6 + descriptor →
 *   uplink_stop     bridge →
 *   capture         bridge, name (empty: none), capture_options + descriptor → id
 *   capture_stats   id → capture_stats
 *   capture_close   id →
 *   save            bridge → bytes
 *   load            bytes, [member_request] → bridge_info
 */
#define SWITCH_VERBS(VERB)                                                                         \
    VERB(BRIDGE_NEW, bridge_new)                                                                   \
    VERB(BRIDGE_CLOSE, bridge_close)                                                               \
    VERB(BRIDGE_INFO, bridge_info)                                                                 \
    VERB(BRIDGE_STATS, bridge_stats)                                                               \
    VERB(ATTACH, attach)                                                                           \
    VERB(DETACH, detach)                                                                           \
    VERB(CONNECT, connect)                                                                         \
    VERB(SET_LINK, set_link)                                                                       \
    VERB(MEMBERS, members)                                                                         \
    VERB(MEMBER, member)                                                                           \
    VERB(COUNTERS, counters)                                                                       \
    VERB(GUEST_PLAN, guest_plan)                                                                   \
    VERB(PARTITION, partition)                                                                     \
    VERB(PARTITION_ALL, partition_all)                                                             \
    VERB(IS_PARTITIONED, is_partitioned)                                                           \
    VERB(ISOLATE, isolate)                                                                         \
    VERB(IMPAIR, impair)                                                                           \
    VERB(IMPAIRMENTS, impairments)                                                                 \
    VERB(SEED, seed)                                                                               \
    VERB(RESET, reset)                                                                             \
    VERB(ROUTE, route)                                                                             \
    VERB(UNROUTE, unroute)                                                                         \
    VERB(ROUTES, routes)                                                                           \
    VERB(UPLINK_START, uplink_start)                                                               \
    VERB(UPLINK_STOP, uplink_stop)                                                                 \
    VERB(CAPTURE, capture)                                                                         \
    VERB(CAPTURE_STATS, capture_stats)                                                             \
    VERB(CAPTURE_CLOSE, capture_close)                                                             \
    VERB(SAVE, save)                                                                               \
    VERB(LOAD, load)

enum switch_verb {
#define VERB(name, handler) SWITCH_##name,
    SWITCH_VERBS(VERB)
#undef VERB
        SWITCH_VERB_COUNT
};

extern const struct record record_bridge_options, record_bridge_info, record_bridge_stats,
    record_member_request, record_member_info, record_nic_counters, record_impairment,
    record_capture_options, record_capture_stats, record_guest_nic, record_guest_route,
    record_id; /* uint32_t */
