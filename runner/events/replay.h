/* A stored event stream, read back. */
#pragma once

#include "events/record.h"

struct replay {
    struct run_record record; /* with the last attempt of each file; totals are counted from them */
    size_t frames;
    uint64_t bytes;      /* of whole frames */
    bool cut;            /* the stream ends within a frame, or in something that is none */
    bool completed;      /* has run_completed */
    int64_t exit_code;   /* of run_completed */
    int64_t protocol;    /* of run_started, 0 without one */
    size_t unknown;      /* frames of kinds that are not known here */
    int64_t last_ts;
    struct file_result **open; /* begun and not ended: none once it is read */
    size_t open_count;
};

/* Takes all whole frames of `in`, which is used up. Files that have no end count as crashed. Fails when there is not
 * even one frame. */
int replay_read(struct buf *in, struct replay *ret, struct err *e);
/* The same in pieces, on a zeroed replay: takes whole frames up to and with run_completed. 1: the run is over, 0: more is
 * needed, -1: what follows is no frame. */
int replay_feed(struct replay *r, struct buf *in, struct err *e);
/* Behind the last piece; `cut`: something was left over. */
void replay_end(struct replay *r, bool cut);
void replay_done(struct replay *r);
