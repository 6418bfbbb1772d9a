/* Passing DNS questions on to the host's resolvers (the form is described in switch/dnsproxy.h). */
#pragma once

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "uplink/uplink.h"

struct relay;

/* An answer's frame payload: DNS_RELAY_HEADER and the message. */
typedef void (*relay_answer_fn)(const uint8_t *payload, size_t size, void *arg);

/* Reads the resolvers out of a resolv.conf(5); without any it is the local host, as for libc. */
struct relay *relay_new(const char *resolv_conf, relay_answer_fn answer, void *arg);
void relay_free(struct relay *r);
size_t relay_resolver_count(const struct relay *r);
void relay_resolver_text(const struct relay *r, size_t i, struct uplink_text *ret);
/* A question's frame payload. */
void relay_ask(struct relay *r, const uint8_t *payload, size_t size, int64_t now);
/* At most RELAY_POLL_MAX descriptors; lowers *deadline to the next timeout. */
#define RELAY_POLL_MAX 64
size_t relay_poll_fill(const struct relay *r, struct pollfd *fds, int64_t *deadline);
void relay_poll_done(struct relay *r, const struct pollfd *fds, size_t count, int64_t now);
