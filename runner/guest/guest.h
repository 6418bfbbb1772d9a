/* The host end of the agent channel of one guest.
 *
 * Calls block by pumping the loop until an absolute deadline (base/clock.h); when that passes, or loop_interrupt comes,
 * the operation is cancelled in the guest and the call fails with ETIMEDOUT or ECANCELED. Failures of the guest
 * carry its errno as code, and read `stat "/x": ENOENT: No such file or directory`; the caller adds which VM.
 *
 * Whatever a guest sends, memory stays bounded: a frame is at most 64 KiB, a body at most what was asked for, a stream
 * at most its window. Anything else closes the channel, and every call, pending or later, fails with that reason. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "wire/bytes.h"

#define GUEST_FILE_MAX       (256 * 1024 * 1024) /* read_file */
#define GUEST_OUTPUT_DEFAULT (64 * 1024 * 1024)  /* per stream of a command */

struct guest;

struct guest_agent {
    char *version, *system, *features;
    uint64_t pid;
};

enum guest_event {
    GUEST_GREETED,   /* it has answered: calls can be made */
    GUEST_LOST,      /* the channel is closed for good; `why` */
    GUEST_RESTARTED, /* the agent began anew by itself (a reboot): what it held for us is gone */
};
/* May be called from the loop or inside a guest_* function: it should only take note. */
typedef void (*guest_event_fn)(struct guest *g, enum guest_event event, const char *why, void *arg);

/* Over the virtio port's socket and, as a fallback, the second serial line's; -1 for one that there is not. Both have to
 * be sockets, and become its own. The agent speaks first, on either. */
struct guest *guest_new(struct loop *loop, int virtio_fd, int serial_fd);
void guest_free(struct guest *g);
/* The same guest over another machine's descriptors, whatever became of the ones before; pending calls fail. `line`: where
 * the agent speaks, as guest_line said when the machine's state was saved, or -1 for a machine that boots. */
void guest_reconnect(struct guest *g, int virtio_fd, int serial_fd, int line);
/* Which descriptor the agent speaks on: 0 the virtio port's, 1 the serial line's. */
unsigned guest_line(const struct guest *g);
DEFINE_CLEANUP(struct guest, guest_free)
void guest_set_event_fn(struct guest *g, guest_event_fn fn, void *arg);

/* What a restored guest has to be told. Borrowed. */
struct guest_refresh {
    int64_t time_ns;  /* since the epoch; 0: its clock is right */
    struct bytes seed; /* for the random pool; empty: none */
};

/* Waits for the agent and its hello: after a boot, guest_expect_restart or guest_resync (mark.h). */
int guest_wait_ready(struct guest *g, int64_t deadline, struct err *e);
bool guest_is_ready(const struct guest *g);
/* Who answered; NULL before the first hello. */
const struct guest_agent *guest_agent(const struct guest *g);
/* The machine was reset: pending calls fail with `why`, and a new agent will speak. */
void guest_expect_restart(struct guest *g, const char *why);
/* The machine is gone: every pending and later call fails with `why` ("the VM died (…)"). */
void guest_close(struct guest *g, const char *why);
/* Calls that have neither ended nor been given up; running processes and open streams are not counted. */
size_t guest_calls_in_flight(const struct guest *g);

int guest_ping(struct guest *g, int64_t deadline, struct err *e);
/* sync(2). */
int guest_sync(struct guest *g, int64_t deadline, struct err *e);
