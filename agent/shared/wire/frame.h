/* Frames of the agent channel: u32 big-endian length of the body, then the body (one message, see message.h).
 *
 * The channel is a byte stream that outlives its speakers: a reset guest starts a new agent on the same host
 * descriptor, a restored one goes on in the middle of what it was doing. So a 16-byte mark can come at any moment.
 * It drops everything before it, half a frame included. It never occurs inside a frame: senders split or refuse
 * what would contain it (message_put). */
#pragma once

#include <sys/types.h>

#include "wire/bytes.h"

#define FRAME_MAX    65536 /* a whole frame: length and body */
#define FRAME_HEADER 4

#define SYNC_MARK     "\xc1provium-agent\r\n"
#define SYNC_MARK_LEN 16

enum frame_status {
    FRAME_NONE,  /* feed more */
    FRAME_READY, /* one body, valid until the next call */
    FRAME_SYNC,  /* a mark came: what was fed before it is gone; frames follow */
    FRAME_BAD,   /* a length that no frame has; the reader now skips up to the next mark */
};

struct frame_reader {
    uint8_t *data;  /* room for two frames, or NULL before the first use */
    size_t at, len; /* what is not handed out yet: data[at, at + len) */
    size_t taken;   /* bytes of the frame handed out last */
    uint8_t tail[SYNC_MARK_LEN - 1]; /* of the stream: a mark may have begun in it */
    size_t tail_len;
    bool synced;  /* report FRAME_SYNC first */
    bool hunting; /* skipping up to the next mark */
};

/* `hunting`: skip everything before the first mark. */
void frame_reader_init(struct frame_reader *r, bool hunting);
void frame_reader_done(struct frame_reader *r);
/* Drops what is buffered and skips up to the next mark. */
void frame_reader_hunt(struct frame_reader *r);
/* Where to read(2) into: at least FRAME_MAX bytes; and how many came. */
uint8_t *frame_reader_space(struct frame_reader *r, size_t *ret_size);
void frame_reader_fed(struct frame_reader *r, size_t n);
enum frame_status frame_reader_next(struct frame_reader *r, struct bytes *ret_body);

/* Offset of the first mark in the bytes, or -1. */
ssize_t sync_mark_find(struct bytes in);
