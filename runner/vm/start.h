/* A QEMU process with the near ends of its channels, before it is any VM's. */
#pragma once

#include "qmp/qmp.h"
#include "snapshot/snapshot_file.h"
#include "vm/command_line.h"
#include "vm/qemu.h"

struct started {
    struct qemu *qemu;
    struct qmp *qmp;
    int agent_fd, agent_isa_fd, console_fd;
    int memory_fd; /* of a guest that boots: its memory; else -1 */
};
#define STARTED_INIT ((struct started){.agent_fd = -1, .agent_isa_fd = -1, .console_fd = -1, .memory_fd = -1})

/* Who hears of it. */
struct started_events {
    qmp_event_fn on_event;
    qmp_closed_fn on_closed;
    qemu_exit_fn on_exit;
    void *arg;
};

/* Starts `m`, whose descriptors but those of kernel, initrd and NICs are filled in; with `base` it loads the state in there
 * and waits. All are borrowed. */
int started_begin(struct loop *loop, const struct machine *m, const struct snapshot_file *base,
                  const struct started_events *events, struct started *ret, struct err *e);
/* Others hear of it from now on. */
void started_tell(struct started *s, const struct started_events *events);
/* Ends it, unless its parts were taken. */
void started_done(struct started *s);
