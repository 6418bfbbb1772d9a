/* What comes with requests and results: pieces of a request's body, as they arrive and are used up; and the way out for
 * results and streams, as far as the channel and the host's credit go. A thread that waits here first passes the lead. */
#include "call.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "team.h"

#define CREDIT_STEP 65536 /* credits are given in steps, so that few messages carry them */

static void free_list(struct piece *piece)
{
    while (piece) {
        struct piece *next = piece->next;
        free(piece);
        piece = next;
    }
}

void call_free_body(struct call *call)
{
    free_list(call->pieces);
    free_list(call->used);
    free(call->at_hand);
}

static struct piece *new_piece(struct call *call, size_t len)
{
    struct piece *piece = call->used;
    if (piece && piece->room >= len) {
        call->used = piece->next;
    } else {
        piece = xmalloc(sizeof(*piece) + len);
        piece->room = len;
    }
    piece->next = NULL;
    piece->len = len;
    piece->used = 0;
    return piece;
}

void call_recycle(struct call *call, struct piece *piece)
{
    agent_lock(call->agent);
    piece->next = call->used;
    call->used = piece;
    agent_unlock(call->agent);
}

void call_add_body(struct call *call, const struct message *m)
{
    if (m->data.len) {
        struct piece *piece = new_piece(call, m->data.len);
        memcpy(piece->data, m->data.data, m->data.len);
        *call->pieces_end = piece;
        call->pieces_end = &piece->next;
        call->buffered += m->data.len;
    }
    call->body_ended = !m->more;
    pthread_cond_signal(&call->changed);
}

/* With the lock, right after the caller saw that it has to wait: nothing here may bring that about. Events go on
 * meanwhile. */
static int wait_for(struct call *call, pthread_cond_t *cond)
{
    struct agent *a = call->agent;
    if (a->options.alone)
        return team_wait_alone(a);
    if (team_pass_lead(a) < 0) {
        call_fail(call, EAGAIN);
        return -1;
    }
    pthread_cond_wait(cond, &a->lock);
    return 0;
}

int call_wait(struct call *call)
{
    return wait_for(call, &call->changed);
}

/* All of `data`, as messages; waits while the channel is busy. With the lock. */
static int send_pieces(struct call *call, unsigned stream, struct bytes data)
{
    struct agent *a = call->agent;
    struct message m = {.kind = MESSAGE_DATA, .id = call->id, .stream = stream, .data = data};
    while (m.data.len && !call->cancelled) {
        if (channel_busy(&a->channel))
            agent_flush(a);
        if (channel_busy(&a->channel)) {
            if (wait_for(call, &a->channel.drained) < 0)
                return -1;
            continue;
        }
        ssize_t taken = channel_put(&a->channel, &m);
        if (taken < 0)
            return -1;
        m.data = bytes_of(m.data.data + taken, m.data.len - (size_t)taken);
    }
    return call->cancelled ? -1 : 0;
}

int call_send(struct call *call, const void *data, size_t n)
{
    if (!buf_append(&call->tail, data, n))
        return 0;
    struct agent *a = call->agent;
    agent_lock(a);
    int result = send_pieces(call, 0, bytes_of(buf_head(&call->tail), call->tail.len));
    buf_clear(&call->tail);
    if (!result && buf_append(&call->tail, data, n) < 0)
        result = send_pieces(call, 0, bytes_of(data, n));
    agent_flush(a);
    agent_unlock(a);
    return result;
}

size_t call_await_credit(struct call *call, size_t max)
{
    struct agent *a = call->agent;
    agent_lock(a);
    while (!call->credit && !call->cancelled && !wait_for(call, &call->changed))
        ;
    size_t n = call->cancelled || call->failed ? 0 : call->credit < max ? (size_t)call->credit : max;
    agent_unlock(a);
    return n;
}

int call_stream(struct call *call, const void *data, size_t n)
{
    struct agent *a = call->agent;
    agent_lock(a);
    call->credit -= n;
    int result = send_pieces(call, 0, bytes_of(data, n));
    agent_flush(a);
    agent_unlock(a);
    return result;
}

void call_add_credit(struct call *call, unsigned stream, uint64_t n)
{
    (void)stream;
    if (__builtin_add_overflow(call->credit, n, &call->credit))
        call->credit = UINT64_MAX;
    pthread_cond_signal(&call->changed);
}

struct piece *call_receive(struct call *call)
{
    struct agent *a = call->agent;
    agent_lock(a);
    while (!call->pieces && !call->body_ended && !call->cancelled && !wait_for(call, &call->changed))
        ;
    struct piece *piece = call->cancelled || call->failed ? NULL : call->pieces;
    if (piece) {
        call->pieces = piece->next;
        if (!call->pieces)
            call->pieces_end = &call->pieces;
        call_credit(call, piece->len);
        agent_flush(a);
    }
    agent_unlock(a);
    return piece;
}

void call_credit(struct call *call, size_t n)
{
    call->buffered -= n;
    call->uncredited += n;
    if (call->body_ended || call->uncredited < CREDIT_STEP || call->session != call->agent->session)
        return;
    struct message m = {.kind = MESSAGE_CREDIT, .id = call->id, .credit = call->uncredited};
    channel_put(&call->agent->channel, &m);
    call->uncredited = 0;
}

int call_receive_exactly(struct call *call, void *to, size_t n)
{
    for (uint8_t *at = to; n;) {
        struct piece *piece = call->at_hand;
        if (!piece && !(piece = call_receive(call))) {
            if (!call->failed)
                call_fail(call, call->cancelled ? ECANCELED : EPROTO);
            return -1;
        }
        size_t have = piece->len - piece->used, take = have < n ? have : n;
        memcpy(at, piece->data + piece->used, take);
        piece->used += take;
        at += take;
        n -= take;
        call->at_hand = piece->used < piece->len ? piece : NULL;
        if (!call->at_hand)
            call_recycle(call, piece);
    }
    return 0;
}

uint8_t *call_receive_all(struct call *call, size_t *ret_len)
{
    _cleanup_buf_ struct buf all = BUF_INIT(BODY_MAX);
    struct piece *piece;
    while ((piece = call_receive(call))) {
        if (buf_append(&all, piece->data, piece->len) < 0)
            call_fail(call, E2BIG);
        call_recycle(call, piece);
    }
    *ret_len = all.len;
    return call->failed || call->cancelled ? NULL : (uint8_t *)buf_steal_str(&all);
}

uint8_t *call_take_body(struct call *call, size_t *ret_len)
{
    size_t len = 0, at = 0;
    for (struct piece *p = call->pieces; p; p = p->next)
        len += p->len;
    uint8_t *whole = xmalloc(len);
    while (call->pieces) {
        struct piece *p = call->pieces;
        memcpy(whole + at, p->data, p->len);
        at += p->len;
        call->pieces = p->next;
        free(p);
    }
    call->pieces_end = &call->pieces;
    *ret_len = len;
    return whole;
}
