/* The runner's end of a switch's control channel: one request, one reply. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "switch/protocol.h"

struct channel;

/* Forks the switch process. */
struct channel *channel_start(struct loop *loop, struct err *e);
/* Closes the channel, which ends the process, and reaps it. */
void channel_free(struct channel *c);
DEFINE_CLEANUP(struct channel, channel_free)

struct request {
    struct buf body;
    struct packer p;
    int fd; /* to be passed; stays the caller's; -1: none */
};

void request_init(struct request *r, enum switch_verb verb);
/* … with the id of a bridge and (unless NULL) a member's name. */
void request_about(struct request *r, enum switch_verb verb, uint32_t bridge, const char *name);

struct reply {
    struct buf body;
    struct unpacker u; /* the values */
};

#define REPLY_INIT ((struct reply){.body = BUF_INIT(CONTROL_MESSAGE_MAX)})
static inline void reply_done(struct reply *r)
{
    buf_done(&r->body);
}
#define _cleanup_reply_ _cleanup_(reply_done)

/* Sends, frees the request, and pumps the loop until the reply is there. */
int channel_call(struct channel *c, struct request *r, struct reply *ret, struct err *e);
/* For requests whose reply has no values. */
int channel_do(struct channel *c, struct request *r, struct err *e);
/* For requests whose reply is one value. */
int channel_record(struct channel *c, struct request *r, const struct record *record, void *ret,
                   struct err *e);
int channel_records(struct channel *c, struct request *r, const struct record *record, void **ret,
                    size_t *ret_count, struct err *e);
int channel_uint(struct channel *c, struct request *r, uint32_t *ret, struct err *e);
/* 1, 0, or -1 */
int channel_bool(struct channel *c, struct request *r, struct err *e);
/* The reply's values were not what they should be. */
int channel_confused(struct err *e);
