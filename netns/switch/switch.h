/* The Ethernet switch of one unit: all its bridges, as pure functions over frames and time. No
 * sockets, no clock: the caller feeds frames in (bridge_input), tells the time (monotonic
 * nanoseconds, never backwards) and empties the outlets that have become ready. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "switch/frame.h"
#include "switch/queue.h"
#include "switch/types.h"

#define BRIDGES_MAX 256

struct netswitch;
struct bridge;
struct port;

/* Where frames leave the core: a port's socket, or an uplink's. */
struct outlet {
    struct queue queue;
    bool ready; /* waits in the switch's list */
    struct outlet *next_ready;
    void *connection; /* the caller's; NULL: nobody takes the frames out */
};

struct netswitch *switch_new(uint64_t secret);
void switch_free(struct netswitch *s);
DEFINE_CLEANUP(struct netswitch, switch_free)
/* The earliest time at which switch_advance has something to do; INT64_MAX: never. */
int64_t switch_next(const struct netswitch *s);
void switch_advance(struct netswitch *s, int64_t now);
void switch_set_wall_offset(struct netswitch *s, int64_t offset);
/* Takes an outlet out of the list of those that got frames since they were last taken; NULL: none.
 */
struct outlet *switch_take_ready(struct netswitch *s);
void switch_make_ready(struct netswitch *s, struct outlet *o);

/* ---- bridges ---- */
struct bridge *bridge_new(struct netswitch *s, const char *name,
                          const struct bridge_options *options, struct err *e);
void bridge_free(struct bridge *b);
struct bridge *switch_bridge(const struct netswitch *s, uint32_t id);
void bridge_describe(const struct bridge *b, struct bridge_info *ret);
const char *bridge_name(const struct bridge *b);
const struct bridge_stats *bridge_stats(const struct bridge *b);

/* ---- members ---- */
/* All or none of them; `ret` (as many) may be NULL. */
int bridge_attach(struct bridge *b, const struct member_request *members, size_t count,
                  struct member_info *ret, struct err *e);
int bridge_detach(struct bridge *b, const char *name, struct err *e);
/* The attached member of that name, or an error. */
struct port *bridge_member(const struct bridge *b, const char *name, struct err *e);
/* The i-th member in attach order, NULL beyond the last. Those whose link is down are included. */
struct port *bridge_member_at(const struct bridge *b, size_t i);
void port_describe(const struct port *p, struct member_info *ret);
struct bridge *port_bridge(const struct port *p);
const char *port_name(const struct port *p);
struct outlet *port_outlet(struct port *p);
/* A QEMU holds the other end; counters restart. */
void port_connect(struct port *p, void *connection);
/* It is gone: queued frames go too, the member stays. */
void port_disconnect(struct port *p);
void port_set_link(struct port *p, bool up);
const struct nic_counters *port_counters(const struct port *p);
/* The guest has taken frames out of the port's outlet. */
void port_count_received(struct port *p, uint64_t frames, uint64_t bytes);

/* ---- frames ---- */
/* A frame arrives by a port; the reference stays the caller's. Returns the work that it made, in
 * copies' worth. */
unsigned bridge_input(struct port *from, struct frame f, int64_t now);
/* The same for frames that lie one behind the other and have the same addresses. */
unsigned bridge_input_run(struct port *from, const struct run *r, int64_t now);
/* Something arrived that is no frame: too short or too long. */
void port_count_error(struct port *p);

/* ---- partitions and isolation ---- */
int bridge_partition(struct bridge *b, const char *a, const char *to, bool directional,
                     struct err *e);
int bridge_unpartition(struct bridge *b, const char *a, const char *to, bool directional,
                       struct err *e);
void bridge_partition_all(struct bridge *b);
void bridge_restore_all(struct bridge *b);
bool bridge_is_partitioned(const struct bridge *b, const char *a, const char *to);
int bridge_isolate(struct bridge *b, const char *name, bool on, struct err *e);

/* ---- uplink ----
 * The gateway's link to the outside: Ethernet frames to and from a network stack that stands for
 * the host. */
struct outlet *bridge_uplink_start(struct bridge *b, bool ipv6, void *connection);
void bridge_uplink_stop(struct bridge *b);
/* NULL: there is none. */
struct outlet *bridge_uplink_outlet(const struct bridge *b);
bool bridge_has_uplink(const struct bridge *b);
void bridge_uplink_input(struct bridge *b, struct frame f, int64_t now);
