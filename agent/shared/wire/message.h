/* Messages: one MessagePack map per frame. What they mean is in PROTOCOL.md. */
#pragma once

#include <sys/types.h>

#include "wire/frame.h"
#include "wire/msgpack.h"

#define PROTOCOL_VERSION 2

/* The most that one message carries of a body; a page multiple, so that pieces of a file stay aligned. */
#define PIECE_MAX 61440
/* What a sender of a body may send before the first credit. */
#define UPLOAD_WINDOW (256 * 1024)

enum message_kind {
    MESSAGE_REQUEST, /* host: id, op, args; data and more: the beginning of the body; worker, after */
    MESSAGE_DATA,    /* either: id, data, more; agent: stream */
    MESSAGE_CREDIT,  /* either: id, credit; host: stream */
    MESSAGE_CANCEL,  /* host: id */
    MESSAGE_OK,      /* agent: id, args (the value), data: the end of the body */
    MESSAGE_ERR,     /* agent: id, args (the value) */
    MESSAGE_EVENT,   /* agent: id, op (the event's name), args (the value) */
};

struct message {
    enum message_kind kind;
    uint64_t id;
    struct bytes op;
    struct bytes args; /* a packed map; empty: an empty map */
    struct bytes data;
    bool more;       /* the body goes on after this message */
    unsigned stream; /* which body: 0, or STREAM_STDERR for a process's second one */
    uint64_t credit; /* bytes */
    uint64_t worker; /* id of the worker that is to execute the request; 0: the agent */
    uint64_t after;  /* id of the call that has to be over before this one begins; 0: none */
};

/* Appends `m` as one frame. Of m->data only as much is taken as fits; the rest is for MESSAGE_DATA, and `more` is set on
 * the wire. Returns the number of data bytes taken, or -1 with nothing appended: too long, the buffer is full, or
 * the frame would hold a sync mark. MESSAGE_OK takes all of its data or fails. */
ssize_t message_put(struct buf *to, const struct message *m);
/* Borrows from `body`. -1: not a message. */
int message_get(struct bytes body, struct message *ret);
