/* Files that the host holds open, by the id of their open call. The descriptor is the agent's own duplicate; the owner
 * (a worker, or the process for kernel calls) may have one too, under the number that `fd` tells. */
#pragma once

#include "call.h"

struct handle {
    struct handle *next;
    uint64_t id, worker;
    int fd;
    int number;    /* in the owning process; -1: it has none */
    unsigned uses; /* calls that have it in hand, and one while it is open */
    bool closed;
    bool current;  /* of this session */
};

/* A new open file. */
void handle_add(struct agent *a, uint64_t id, int fd, uint64_t worker, int number);
/* The open file of that id, to be given back; NULL when there is none, and then the call has failed with EBADF. */
struct handle *handle_take(struct call *call, uint64_t id);
void handle_give(struct agent *a, struct handle *h);
/* A new session begins: the files that it does not keep are closed. */
void handle_adopt(struct agent *a, const uint64_t *ids, size_t count);

/* Operations. */
void handle_open(struct call *call);
void handle_read(struct call *call);
void handle_write(struct call *call);
void handle_seek(struct call *call);
void handle_close(struct call *call);
