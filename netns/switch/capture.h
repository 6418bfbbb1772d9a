/* Captures: classic pcap, made as frames pass.
 *
 * A capture buffers up to 64 MiB of whole records for whoever drains it; beyond that it drops new
 * records and counts them. It belongs to a bridge or to a port and ends with it; it lives until
 * capture_free. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "switch/frame.h"
#include "switch/switch.h"

#define CAPTURE_BUFFER_MAX (64u << 20)
#define CAPTURE_SNAPLEN    65549

enum capture_point {
    CAPTURE_SENT,      /* a bridge's, per accepted frame */
    CAPTURE_DELIVERED, /* a bridge's, per delivered copy */
    CAPTURE_NIC,       /* what a port sent and what it was given */
};

struct capture;

/* `port` NULL: of the bridge. */
struct capture *capture_new(struct bridge *b, struct port *port,
                            const struct capture_options *options, struct err *e);
struct capture *switch_capture(const struct netswitch *s, uint32_t id);
/* Iterates over all captures; begin with NULL. */
struct capture *switch_next_capture(const struct netswitch *s, struct capture *c);
uint32_t capture_id(const struct capture *c);
void capture_describe(const struct capture *c, struct capture_stats *ret);
/* No more records; what is buffered can still be drained. */
void capture_end(struct capture *c);
void captures_end(struct capture *list); /* of a bridge or port */
bool capture_is_ended(const struct capture *c);
void capture_free(struct capture *c);
/* What waits to be drained, in up to `max` pieces. */
unsigned capture_peek(const struct capture *c, struct iovec *pieces, unsigned max);
void capture_consume(struct capture *c, size_t n);
/* The caller's, as outlet.connection. */
void **capture_connection(struct capture *c);

/* For the forwarding path: to each capture of the list that looks at this point. */
void capture_record(struct capture *list, enum capture_point point, struct frame f, int64_t now);
