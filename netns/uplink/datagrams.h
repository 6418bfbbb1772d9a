/* Forwarded UDP ports: datagrams between sockets of the host and guests. */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "switch/frame.h"
#include "uplink/uplink.h"

struct datagrams;

/* Frames for the switch go to `send`, which takes them. */
struct datagrams *datagrams_new(const struct uplink_config *config,
                                void (*send)(struct frame f, void *arg), void *arg);
void datagrams_free(struct datagrams *d);
/* Listens; *ret_port is the host's port. */
int datagrams_forward(struct datagrams *d, const struct uplink_port *p, uint16_t *ret_port,
                      struct err *e);
/* At most UPLINK_FORWARDS_MAX descriptors. */
size_t datagrams_poll_fill(const struct datagrams *d, struct pollfd *fds);
void datagrams_poll_done(struct datagrams *d, const struct pollfd *fds, size_t count, int64_t now);
/* A frame of a guest's: true when it was an answer to a client of a forwarded port. */
bool datagrams_answer(struct datagrams *d, const uint8_t *frame, size_t size, int64_t now);
