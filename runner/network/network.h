/* The network of one running unit (test file, fixture build, REPL): the runner's end of its switch
 * process.
 *
 * Every call blocks: it sends one request over the control channel and pumps the loop until the
 * reply is there. Failures carry the switch's own words (message and hint); the caller puts the
 * name of its call in front (`bridge:attach: `). Bridges are named by the id that
 * network_bridge_new returned, because two sub-labs of a unit may each have a bridge `lan`; VMs by
 * name on their bridge, and by a number `vm` of the caller's choosing that is the same for all NICs
 * of one VM (0: no such VM yet). Percentages are 0 to 100, times nanoseconds, rates bits per
 * second, addresses text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "loop/loop.h"
#include "switch/impair.h"
#include "switch/types.h"

struct network;

/* Starts the switch process. `broker` is a connection to the uplink broker (uplink_broker_connect),
 * or -1 when there is none: then enable_uplink fails. It becomes the network's. */
struct network *network_start(struct loop *loop, int broker, struct err *e);
/* Ends the process and reaps it. Captures end after what is pending. */
void network_free(struct network *n);
DEFINE_CLEANUP(struct network, network_free)

/* ---- bridges ---- */
int network_bridge_new(struct network *n, const char *name, const struct bridge_options *options,
                       struct bridge_info *ret, struct err *e);
int network_bridge_close(struct network *n, uint32_t bridge, struct err *e);
int network_bridge_info(struct network *n, uint32_t bridge, struct bridge_info *ret, struct err *e);
int network_bridge_stats(struct network *n, uint32_t bridge, struct bridge_stats *ret,
                         struct err *e);
/* Everything that a lab snapshot keeps of a bridge, as opaque bytes; and a new bridge out of them.
 * `vms` maps the members' names to the caller's VM numbers. */
int network_bridge_save(struct network *n, uint32_t bridge, struct buf *out, struct err *e);
int network_bridge_load(struct network *n, const void *saved, size_t size,
                        const struct member_request *vms, size_t count, struct bridge_info *ret,
                        struct err *e);

/* ---- membership ---- */

/* Records membership and decides MAC and addresses: all or none of the list. An existing member of
 * the same VM is left as it is and reported likewise; one with vm 0 is bound to the VM that comes.
 */
int network_attach(struct network *n, uint32_t bridge, const struct member_request *members,
                   size_t count, struct member_info *ret, struct err *e);
int network_detach(struct network *n, uint32_t bridge, const char *member, struct err *e);
/* Makes a NIC's socket pair, hands one end to the switch and returns the other, for QEMU:
 * `-netdev stream,id=…,server=off,addr.type=fd,addr.str=N`. Close it once QEMU has it. Counters
 * restart; an earlier connection of that member ends. A member stays one when its QEMU goes. */
int network_connect(struct network *n, uint32_t bridge, const char *member, int *ret_fd,
                    struct err *e);
/* The same with a socket (borrowed) whose far end QEMU has already. */
int network_connect_fd(struct network *n, uint32_t bridge, const char *member, int fd, struct err *e);
/* Down is what nic:disconnect does: not listed, not reachable, keeps everything. */
int network_set_link(struct network *n, uint32_t bridge, const char *member, bool up,
                     struct err *e);
/* In attach order, *ret malloc'ed. */
int network_members(struct network *n, uint32_t bridge, struct member_info **ret, size_t *ret_count,
                    struct err *e);
int network_member(struct network *n, uint32_t bridge, const char *member, struct member_info *ret,
                   struct err *e);
int network_nic_counters(struct network *n, uint32_t bridge, const char *member,
                         struct nic_counters *ret, struct err *e);

/* What the agent of a VM has to configure: per NIC in attach order MAC, MTU, addresses and routes;
 * the marked block of /etc/hosts; resolv.conf. Ask again after anything that changes members,
 * routes or uplinks. guest_plan_done (switch/plan.h) frees it. */
int network_guest_plan(struct network *n, uint32_t vm, struct guest_plan *ret, struct err *e);

/* ---- partitions, isolation ---- */
int network_partition(struct network *n, uint32_t bridge, const char *a, const char *b,
                      bool directional, struct err *e);
int network_unpartition(struct network *n, uint32_t bridge, const char *a, const char *b,
                        bool directional, struct err *e);
int network_partition_all(struct network *n, uint32_t bridge, struct err *e);
int network_restore_all(struct network *n, uint32_t bridge, struct err *e);
/* 1, 0, or -1 */
int network_is_partitioned(struct network *n, uint32_t bridge, const char *a, const char *b,
                           struct err *e);
int network_isolate(struct network *n, uint32_t bridge, const char *member, bool on, struct err *e);
int network_is_isolated(struct network *n, uint32_t bridge, const char *member, struct err *e);

/* ---- impairments ---- (struct impairment in switch/impair.h; a zero value clears its knob) */
int network_impair(struct network *n, uint32_t bridge, const struct impairment *rule,
                   struct err *e);
/* impairments_free frees *ret. */
void impairments_free(struct impairment *rules, size_t count);
int network_impairments(struct network *n, uint32_t bridge, struct impairment **ret,
                        size_t *ret_count, struct err *e);
int network_seed(struct network *n, uint32_t bridge, int64_t seed, struct err *e);
int network_reset(struct network *n, uint32_t bridge, struct err *e);

/* ---- routing and uplink ---- */
int network_route(struct network *n, uint32_t bridge, const uint32_t *others, size_t count,
                  struct err *e);
int network_unroute(struct network *n, uint32_t bridge, uint32_t other, struct err *e);
/* Ids of the bridges to which this one declared a route. *ret malloc'ed. */
int network_routes(struct network *n, uint32_t bridge, uint32_t **ret, size_t *ret_count,
                   struct err *e);

struct uplink_forward {
    const char *bind; /* NULL: 127.0.0.1 */
    uint16_t host;    /* 0: a free port */
    uint16_t guest;
    const char *member;
    bool udp;
};

struct uplink_options {
    bool host_loopback;
    const struct uplink_forward *forwards;
    size_t forward_count;
};

/* Owned by the network, until the uplink or the network ends. */
struct uplink_info {
    bool icmp, ipv6, host_loopback;
    bool failed; /* its helper process has died */
    const char *const *dns;
    size_t dns_count;
    const struct uplink_forward *forwards; /* with the ports that were chosen */
    size_t forward_count;
};

int network_enable_uplink(struct network *n, uint32_t bridge, const struct uplink_options *options,
                          struct err *e);
/* No-op when off. */
int network_disable_uplink(struct network *n, uint32_t bridge, struct err *e);
/* NULL: off. */
const struct uplink_info *network_uplink(struct network *n, uint32_t bridge);

/* ---- capture ----
 * The stream of classic pcap is written to `fd` (a pipe's or socket's write end, or a file opened
 * by the caller), which the call does not keep. `member` NULL: the bridge. The capture ends, after
 * what is pending, with its bridge, with its member, by capture_close, or when the other end
 * closes. */
int network_capture(struct network *n, uint32_t bridge, const char *member,
                    const struct capture_options *options, int fd, uint32_t *ret_id, struct err *e);
int network_capture_stats(struct network *n, uint32_t capture, struct capture_stats *ret,
                          struct err *e);
int network_capture_close(struct network *n, uint32_t capture, struct err *e);
