#include "wire/message.h"

#include "base/cleanup.h"

/* Room that a DATA message needs besides its data, and a REQUEST besides data and args. */
#define ENVELOPE 96

static void pack_key_uint(struct packer *p, const char *key, uint64_t value)
{
    pack_str(p, key);
    pack_uint(p, value);
}

static void pack_key_map(struct packer *p, const char *key, struct bytes packed)
{
    pack_str(p, key);
    if (packed.len)
        pack_raw(p, packed.data, packed.len);
    else
        pack_map(p, 0);
}

static void pack_message(struct packer *p, const struct message *m)
{
    bool with_data = m->kind == MESSAGE_DATA || m->data.len;
    uint32_t keys = 1u + with_data + m->more + !!m->stream + !!m->worker + !!m->after;
    static const uint8_t own_keys[] = {
        [MESSAGE_REQUEST] = 2, [MESSAGE_DATA] = 0, [MESSAGE_CREDIT] = 1, [MESSAGE_CANCEL] = 1,
        [MESSAGE_OK] = 2,      [MESSAGE_ERR] = 2,  [MESSAGE_EVENT] = 2,
    };
    pack_map(p, keys + own_keys[m->kind]);
    pack_key_uint(p, "id", m->id);
    switch (m->kind) {
    case MESSAGE_REQUEST:
        pack_str(p, "op");
        pack_strn(p, m->op.data, m->op.len);
        pack_key_map(p, "args", m->args);
        break;
    case MESSAGE_DATA:
        break;
    case MESSAGE_CREDIT:
        pack_key_uint(p, "credit", m->credit);
        break;
    case MESSAGE_CANCEL:
        pack_str(p, "cancel");
        pack_bool(p, true);
        break;
    case MESSAGE_OK:
    case MESSAGE_ERR:
        pack_str(p, "outcome");
        pack_str(p, m->kind == MESSAGE_OK ? "ok" : "err");
        pack_key_map(p, "value", m->args);
        break;
    case MESSAGE_EVENT:
        pack_str(p, "event");
        pack_strn(p, m->op.data, m->op.len);
        pack_key_map(p, "value", m->args);
        break;
    }
    if (m->worker)
        pack_key_uint(p, "worker", m->worker);
    if (m->after)
        pack_key_uint(p, "after", m->after);
    if (m->stream)
        pack_key_uint(p, "stream", m->stream);
    if (m->more) {
        pack_str(p, "more");
        pack_bool(p, true);
    }
    if (with_data) {
        pack_str(p, "data");
        pack_bin(p, m->data.data, m->data.len);
    }
}

/* One frame with exactly this message; the sync mark found in it, if any, as an offset into the
 * frame. */
static int put_frame(struct buf *to, const struct message *m, ssize_t *ret_mark)
{
    size_t before = to->len;
    struct packer p = {.to = to};
    pack_raw(&p, "\0\0\0", FRAME_HEADER);
    pack_message(&p, m);
    size_t len = to->len - before;
    *ret_mark = -1;
    if (!p.full && len <= FRAME_MAX) {
        uint8_t *frame = buf_head(to) + before;
        for (int i = 0; i < FRAME_HEADER; i++)
            frame[i] = (uint8_t)((len - FRAME_HEADER) >> (8 * (FRAME_HEADER - 1 - i)));
        *ret_mark = sync_mark_find(bytes_of(frame, len));
        if (*ret_mark < 0)
            return 0;
    }
    to->len = before;
    return -1;
}

ssize_t message_put(struct buf *to, const struct message *m)
{
    struct message piece = *m;
    size_t envelope = ENVELOPE + m->args.len + m->op.len;
    size_t room = envelope < FRAME_MAX ? FRAME_MAX - envelope : 0;
    if (room > PIECE_MAX)
        room = PIECE_MAX;
    if (piece.data.len > room) {
        if (m->kind == MESSAGE_OK)
            return -1;
        piece.data.len = room;
    }
    for (;;) {
        ssize_t mark;
        piece.more = m->more || piece.data.len < m->data.len;
        if (!put_frame(to, &piece, &mark))
            return (ssize_t)piece.data.len;
        if (mark < 0 || !piece.data.len || m->kind == MESSAGE_OK)
            return -1;
        /* Cut inside the mark. It may begin in the envelope (a length byte), so one byte less is
         * all that is sure. */
        piece.data.len--;
        ssize_t in_data = sync_mark_find(piece.data);
        if (in_data >= 0)
            piece.data.len = (size_t)in_data + 1;
    }
}

static int get_kind(struct message *m, struct bytes word)
{
    if (bytes_is(word, "ok"))
        m->kind = MESSAGE_OK;
    else if (bytes_is(word, "err"))
        m->kind = MESSAGE_ERR;
    else
        return -1;
    return 0;
}

enum {
    HAS_ID = 1 << 0,
    HAS_OP = 1 << 1,
    HAS_OUTCOME = 1 << 2,
    HAS_EVENT = 1 << 3,
    HAS_CREDIT = 1 << 4,
    HAS_CANCEL = 1 << 5,
    HAS_ARGS = 1 << 6,
    HAS_VALUE = 1 << 7,
    HAS_DATA = 1 << 8,
    HAS_MORE = 1 << 9,
    HAS_STREAM = 1 << 10,
    HAS_WORKER = 1 << 11,
    HAS_AFTER = 1 << 12,
};

static int get_field(struct unpacker *u, struct bytes key, struct message *m, unsigned *seen)
{
    static const char *const names[] = {"id",     "op",     "outcome", "event", "credit",
                                        "cancel", "args",   "value",   "data",  "more",
                                        "stream", "worker", "after"};
    unsigned field = 0;
    while (field < ARRAY_SIZE(names) && !bytes_is(key, names[field]))
        field++;
    if (field == ARRAY_SIZE(names) || *seen & 1u << field)
        return -1;
    *seen |= 1u << field;
    uint64_t n = 0;
    bool flag = true;
    struct bytes word;
    int result = -1;
    switch (1u << field) {
    case HAS_ID:
        return unpack_uint(u, &m->id);
    case HAS_OP:
    case HAS_EVENT:
        return unpack_bytes(u, &m->op);
    case HAS_OUTCOME:
        return unpack_bytes(u, &word) < 0 ? -1 : get_kind(m, word);
    case HAS_CREDIT:
        return unpack_uint(u, &m->credit);
    case HAS_CANCEL:
        return unpack_bool(u, &flag) < 0 || !flag ? -1 : 0;
    case HAS_ARGS:
    case HAS_VALUE:
        return unpack_skip(u, &m->args);
    case HAS_DATA:
        return unpack_bytes(u, &m->data);
    case HAS_MORE:
        return unpack_bool(u, &m->more) < 0 || !m->more ? -1 : 0;
    case HAS_STREAM:
        result = unpack_uint(u, &n);
        m->stream = (unsigned)n;
        return n > 1 ? -1 : result;
    case HAS_WORKER:
        return unpack_uint(u, &m->worker);
    case HAS_AFTER:
        return unpack_uint(u, &m->after);
    }
    return result;
}

/* The keys that each kind must and may have. */
static const struct {
    unsigned must, may;
} kinds[] = {
    [MESSAGE_REQUEST] = {HAS_ID | HAS_OP | HAS_ARGS, HAS_DATA | HAS_MORE | HAS_WORKER | HAS_AFTER},
    [MESSAGE_DATA] = {HAS_ID | HAS_DATA, HAS_MORE | HAS_STREAM},
    [MESSAGE_CREDIT] = {HAS_ID | HAS_CREDIT, HAS_STREAM},
    [MESSAGE_CANCEL] = {HAS_ID | HAS_CANCEL, 0},
    [MESSAGE_OK] = {HAS_ID | HAS_OUTCOME | HAS_VALUE, HAS_DATA},
    [MESSAGE_ERR] = {HAS_ID | HAS_OUTCOME | HAS_VALUE, 0},
    [MESSAGE_EVENT] = {HAS_ID | HAS_EVENT | HAS_VALUE, 0},
};

int message_get(struct bytes body, struct message *ret)
{
    struct message m = {.kind = MESSAGE_DATA};
    struct unpacker u = unpacker_of(body);
    uint32_t count;
    unsigned seen = 0;
    if (unpack_map(&u, &count) < 0 || count > 16)
        return -1;
    while (count--) {
        struct bytes key;
        if (unpack_bytes(&u, &key) < 0 || get_field(&u, key, &m, &seen) < 0)
            return -1;
    }
    if (seen & HAS_OP)
        m.kind = MESSAGE_REQUEST;
    else if (seen & HAS_EVENT)
        m.kind = MESSAGE_EVENT;
    else if (seen & HAS_CREDIT)
        m.kind = MESSAGE_CREDIT;
    else if (seen & HAS_CANCEL)
        m.kind = MESSAGE_CANCEL;
    else if (!(seen & HAS_OUTCOME))
        m.kind = MESSAGE_DATA;
    if (u.at != u.end || (seen & kinds[m.kind].must) != kinds[m.kind].must ||
        seen & ~(kinds[m.kind].must | kinds[m.kind].may))
        return -1;
    *ret = m;
    return 0;
}
