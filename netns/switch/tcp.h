/* As much of TCP (RFC 9293) as DNS over TCP needs (RFC 7766): a passive opener that reads
 * length-prefixed requests and sends length-prefixed answers. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "switch/packet.h"

struct gateway;
struct port;
struct tcp_server;

struct tcp_server *tcp_server_new(struct gateway *g);
void tcp_server_free(struct tcp_server *s);
/* A TCP packet for port 53 of the gateway, with a right checksum. */
void tcp_receive(struct tcp_server *s, struct port *from, struct frame f, const struct packet *p,
                 int64_t now);
/* An answer on a connection that may be gone by now. */
void tcp_respond(struct tcp_server *s, uint32_t connection, const uint8_t *message, size_t size,
                 int64_t now);
int64_t tcp_next(const struct tcp_server *s);
void tcp_advance(struct tcp_server *s, int64_t now);
/* Refuses a packet for a port where nobody listens. */
void tcp_refuse(struct gateway *g, struct frame f, const struct packet *p, int64_t now);
