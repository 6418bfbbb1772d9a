/* The control channel between a runner and its switch process: an AF_UNIX stream of messages, each a 32-bit big-endian
 * length and that many bytes of MessagePack.
 *
 *   request:  verb (integer), then the verb's values; descriptors ride on the message's first byte
 *   reply:    true, then the verb's values; or false, code, message, hint (string or nil)
 *
 * Requests are answered in their order, one reply each. Both ends are the same program; a malformed request ends the
 * switch. */
#pragma once

#include "switch/record.h"

#define CONTROL_MESSAGE_MAX (16u << 20)
#define CONTROL_LIST_MAX    65536 /* items in any list */

/* VERB(NAME, handler): comments name request → reply values. */
#define SWITCH_VERBS(VERB)                                                                         \
    VERB(BRIDGE_NEW, bridge_new)       /* name, bridge_options → bridge_info */                    \
    VERB(BRIDGE_CLOSE, bridge_close)   /* bridge → */                                              \
    VERB(BRIDGE_INFO, bridge_info)     /* bridge → bridge_info */                                  \
    VERB(BRIDGE_STATS, bridge_stats)   /* bridge → bridge_stats */                                 \
    VERB(ATTACH, attach)               /* bridge, [member_request] → [member_info] */              \
    VERB(DETACH, detach)               /* bridge, name → */                                        \
    VERB(CONNECT, connect)             /* bridge, name + descriptor → */                           \
    VERB(SET_LINK, set_link)           /* bridge, name, up → */                                    \
    VERB(MEMBERS, members)             /* bridge → [member_info] */                                \
    VERB(MEMBER, member)               /* bridge, name → member_info */                             \
    VERB(COUNTERS, counters)           /* bridge, name → nic_counters */                           \
    VERB(GUEST_PLAN, guest_plan)       /* vm → [guest_nic, [guest_route]…], hosts, resolv, force */ \
    VERB(PARTITION, partition)         /* bridge, a, b, directional, on → */                       \
    VERB(PARTITION_ALL, partition_all) /* bridge, on → */                                          \
    VERB(IS_PARTITIONED, is_partitioned) /* bridge, a, b → bool */                                 \
    VERB(ISOLATE, isolate)             /* bridge, name, on → */                                    \
    VERB(IMPAIR, impair)               /* bridge, impairment → */                                  \
    VERB(IMPAIRMENTS, impairments)     /* bridge → [impairment] */                                 \
    VERB(SEED, seed)                   /* bridge, integer → */                                     \
    VERB(RESET, reset)                 /* bridge → */                                              \
    VERB(ROUTE, route)                 /* bridge, [bridge] → */                                    \
    VERB(UNROUTE, unroute)             /* bridge, bridge → */                                      \
    VERB(ROUTES, routes)               /* bridge → [id] */                                        \
    VERB(UPLINK_START, uplink_start)   /* bridge, ipv6 + descriptor → */                           \
    VERB(UPLINK_STOP, uplink_stop)     /* bridge → */                                              \
    VERB(CAPTURE, capture)             /* bridge, name or nil, capture_options + descriptor → id */ \
    VERB(CAPTURE_STATS, capture_stats) /* id → capture_stats */                                    \
    VERB(CAPTURE_CLOSE, capture_close) /* id → */                                                  \
    VERB(SAVE, save)                   /* bridge → bytes */                                        \
    VERB(LOAD, load)                   /* bytes, [member_request] → bridge_info */

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
