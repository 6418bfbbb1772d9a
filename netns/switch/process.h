/* The parts of the switch process, shared by its files: the loop (server.c), frame sockets
 * (connection.c), draining of captures (drain.c), and the control channel (control.c, commands.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "switch/capture.h"
#include "switch/switch.h"
#include "wire/msgpack.h"

struct server;

/* A descriptor in the epoll set. */
struct watch {
    int fd;
    uint32_t events; /* asked for; 0: not in the set */
    void (*ready)(struct server *s, struct watch *w, uint32_t events);
};

#define CONTROL_FDS_MAX 16

struct control {
    struct watch watch;
    struct buf in, out;
    int fds[CONTROL_FDS_MAX]; /* received and not yet claimed by a request */
    unsigned fd_count;
};

struct server {
    struct netswitch *core;
    int epoll_fd;
    int64_t now;
    bool done;
    struct control control;
    struct connection *connections;
    struct connection *busy; /* have frames that they were not allowed to forward yet */
    struct drain *drains;
};

/* server.c */
void watch_set(struct server *s, struct watch *w, uint32_t events);

/* connection.c */
/* A stream socket with frames in QEMU's framing: of a port, or of a bridge's uplink. Takes over the
 * descriptor. */
struct connection *connection_new(struct server *s, struct port *port, struct bridge *uplink,
                                  int fd);
void connection_free(struct server *s, struct connection *c);
void connection_set_outlet(struct connection *c, struct outlet *o);
struct bridge *connection_bridge(const struct connection *c);
struct connection *connection_next(const struct connection *c);
/* Forwards what busy connections have left, as much as is fair. */
void connections_continue(struct server *s);
/* Writes what the ready outlets hold. */
void connections_flush(struct server *s);

/* drain.c */
void drain_new(struct server *s, struct capture *c, int fd);
/* Writes what captures hold; closes the descriptors of those that have ended. */
void drains_flush(struct server *s);
/* The client has no more use for it: ends the capture, and frees it once it is drained. */
void drain_release(struct server *s, struct capture *c);
void drains_free(struct server *s);

/* commands.c */
/* One request; appends the reply's values, or fails. -1 with `e` empty: malformed. */
int command_run(struct server *s, struct bytes request, struct packer *reply, struct err *e);

/* control.c */
void control_init(struct server *s, int fd);
void control_done(struct server *s);
/* The next descriptor that came with a request, or -1. */
int control_take_fd(struct server *s);
