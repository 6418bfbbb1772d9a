/* Frames, messages and shapes. The golden vectors pin protocol version 2: a change of any byte of them means a new
 * PROTOCOL_VERSION, in the same commit. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "wire/operation.h"

static char *hex(const struct buf *b)
{
    char *text = xmalloc(2 * b->len + 1);
    for (size_t i = 0; i < b->len; i++)
        sprintf(text + 2 * i, "%02x", buf_head(b)[i]);
    text[2 * b->len] = '\0';
    return text;
}

/* A sample in which every field of a shape is set, to a value that depends on its place. */
static void fill(const struct shape *shape, void *object)
{
    memset(object, 0, shape->size);
    for (size_t i = 0; i < shape->count; i++) {
        void *at = (char *)object + shape->fields[i].offset;
        switch (shape->fields[i].type) {
        case SHAPE_BOOL:
            *(bool *)at = true;
            break;
        case SHAPE_INT:
            *(int64_t *)at = -1 - (int64_t)i;
            break;
        case SHAPE_UINT:
            *(uint64_t *)at = 1 + i;
            break;
        case SHAPE_TEXT:
        case SHAPE_BYTES:
            *(struct bytes *)at = bytes_str("x");
            break;
        }
    }
}

static char *packed_sample(const struct shape *shape)
{
    union operation_object object, back;
    _cleanup_buf_ struct buf b = BUF_INIT(FRAME_MAX);
    struct packer p = {.to = &b};
    fill(shape, &object);
    shape_pack(&p, shape, &object);
    assert_int_equal(shape_unpack(bytes_of(buf_head(&b), b.len), shape, &back), 0);
    _cleanup_buf_ struct buf again = BUF_INIT(FRAME_MAX);
    p.to = &again;
    shape_pack(&p, shape, &back);
    assert_int_equal(again.len, b.len);
    assert_memory_equal(buf_head(&again), buf_head(&b), b.len);
    return hex(&b);
}

static const struct golden {
    const char *name, *args, *value;
} golden_operations[] = {
#include "wire_golden.h"
};

static void golden_shapes(void **state)
{
    (void)state;
    bool same = ARRAY_SIZE(golden_operations) == OPERATION_COUNT;
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        _cleanup_free_ char *args = packed_sample(operations[i].args);
        _cleanup_free_ char *value = packed_sample(operations[i].value);
        const struct golden *g = &golden_operations[i < ARRAY_SIZE(golden_operations) ? i : 0];
        if (strcmp(g->name, operations[i].name) || strcmp(g->args, args) || strcmp(g->value, value))
            same = false;
        /* What wire_golden.h has to be, for whoever raises the version. */
        if (!same)
            printf("{\"%s\",\n \"%s\",\n \"%s\"},\n", operations[i].name, args, value);
    }
    assert_true(same);
    _cleanup_free_ char *err = packed_sample(&shape_value_err);
    assert_string_equal(err, "83a56572726e6f01a664657461696cc40178a776657273696f6e03");
    _cleanup_free_ char *started = packed_sample(&shape_value_started);
    assert_string_equal(started, "81a370696401");
    _cleanup_free_ char *eof = packed_sample(&shape_value_stream);
    assert_string_equal(eof, "81a673747265616d01");
}

static void golden_messages(void **state)
{
    (void)state;
    static const struct {
        struct message m;
        const char *bytes;
    } golden[] = {
        {{.kind = MESSAGE_REQUEST, .id = 7, .op = {(const uint8_t *)"stat", 4}, .args = {(const uint8_t *)"\x80", 1}},
         "0000001383a2696407a26f70a473746174a46172677380"},
        {{.kind = MESSAGE_REQUEST, .id = 300, .op = {(const uint8_t *)"exec", 4}, .worker = 2, .after = 3,
          .data = {(const uint8_t *)"a\0b", 3}, .more = true},
         "0000003487a26964cd012ca26f70a465786563a46172677380a6776f726b657202a5616674657203a46d6f7265c3a464617461c403610062"},
        {{.kind = MESSAGE_DATA, .id = 1, .stream = 1, .data = {(const uint8_t *)"x", 1}},
         "0000001583a2696401a673747265616d01a464617461c40178"},
        {{.kind = MESSAGE_CREDIT, .id = 1, .credit = 65536}, "0000001182a2696401a6637265646974ce00010000"},
        {{.kind = MESSAGE_CANCEL, .id = 1}, "0000000d82a2696401a663616e63656cc3"},
        {{.kind = MESSAGE_OK, .id = 1}, "0000001783a2696401a76f7574636f6d65a26f6ba576616c756580"},
        {{.kind = MESSAGE_ERR, .id = 1, .args = {(const uint8_t *)"\x81\xa5" "errno\x02", 8}},
         "0000001f83a2696401a76f7574636f6d65a3657272a576616c756581a56572726e6f02"},
        {{.kind = MESSAGE_EVENT, .id = 1, .op = {(const uint8_t *)"eof", 3}},
         "0000001683a2696401a56576656e74a3656f66a576616c756580"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(golden); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(FRAME_MAX);
        struct message back;
        assert_true(message_put(&b, &golden[i].m) >= 0);
        _cleanup_free_ char *text = hex(&b);
        assert_string_equal(text, golden[i].bytes);
        assert_int_equal(message_get(bytes_of(buf_head(&b) + FRAME_HEADER, b.len - FRAME_HEADER), &back), 0);
        assert_int_equal(back.kind, golden[i].m.kind);
        assert_int_equal(back.id, golden[i].m.id);
        assert_int_equal(back.worker, golden[i].m.worker);
        assert_int_equal(back.after, golden[i].m.after);
        assert_int_equal(back.stream, golden[i].m.stream);
        assert_int_equal(back.more, golden[i].m.more);
        assert_int_equal(back.data.len, golden[i].m.data.len);
    }
}

static void open_bits(void **state)
{
    (void)state;
    assert_int_equal(PROTOCOL_VERSION, 2);
    assert_int_equal(OPEN_READ | OPEN_WRITE << 8, 0x201);
    assert_int_equal(OPEN_CREATE | OPEN_TRUNCATE << 8, 0x804);
    assert_int_equal(OPEN_APPEND | OPEN_EXCLUSIVE << 8, 0x2010);
}

static void put_malformed(const char *bytes, size_t len)
{
    struct message m;
    assert_int_equal(message_get(bytes_of(bytes, len), &m), -1);
}

static void malformed_messages(void **state)
{
    (void)state;
#define BAD(text) put_malformed(text, sizeof(text) - 1)
    BAD("");
    BAD("\x80");
    BAD("\x81\xa2id\x01");                                          /* says nothing */
    BAD("\x82\xa2id\x01\xa2id\x01");                                /* twice */
    BAD("\x82\xa2id\x01\xa5" "bogus\x01");                          /* unknown key */
    BAD("\x82\xa2id\xff\xa6" "credit\x01");                         /* negative id */
    BAD("\x82\xa2id\x01\xa6" "credit\x01\x00");                     /* trailing byte */
    BAD("\x83\xa2id\x01\xa6" "credit\x01\xa2op\xa1x");              /* two kinds at once */
    BAD("\x83\xa2id\x01\xa7outcome\xa3" "bad\xa5value\x80");        /* unknown outcome */
    BAD("\x83\xa2id\x01\xa6stream\x02\xa4" "data\xc4\x00");         /* no such stream */
    BAD("\x82\xa2id\x01\xa6" "cancel\xc2");                         /* cancel: false */
#undef BAD
    union operation_object object;
    assert_int_equal(shape_unpack(bytes_str("\x81\xa4what\x01"), operations[OPERATION_stat].args, &object), -1);
    assert_int_equal(shape_unpack(bytes_str("\x81\xa4path\x01"), operations[OPERATION_stat].args, &object), -1);
    assert_int_equal(shape_unpack(bytes_str("\x81\xa4path\xa1x\x01"), operations[OPERATION_stat].args, &object), -1);
}

/* Feeds all of `b` in steps, and counts what comes out. */
static void feed(struct frame_reader *r, const struct buf *b, size_t step, size_t counts[4])
{
    memset(counts, 0, 4 * sizeof(*counts));
    for (size_t at = 0; at < b->len;) {
        size_t room;
        uint8_t *to = frame_reader_space(r, &room);
        size_t n = b->len - at < step ? b->len - at : step;
        n = n < room ? n : room;
        memcpy(to, buf_head(b) + at, n);
        frame_reader_fed(r, n);
        at += n;
        struct bytes body;
        for (enum frame_status status; (status = frame_reader_next(r, &body)) != FRAME_NONE;)
            counts[status]++;
    }
}

static void marks_split_the_stream(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 3, 7, 16, 1000, 100000};
    static const uint8_t cut_off[] = {0, 0, 0xff, 0, 0xc1, 'p', 'r', 'o'};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
        struct frame_reader r;
        size_t counts[4];
        frame_reader_init(&r, true);
        buf_append_str(&b, "noise of a serial line\r\n");
        buf_append(&b, SYNC_MARK, SYNC_MARK_LEN);
        struct message m = {.kind = MESSAGE_CANCEL, .id = 1};
        for (int n = 0; n < 5; n++)
            assert_int_equal(message_put(&b, &m), 0);
        feed(&r, &b, steps[i], counts);
        assert_int_equal(counts[FRAME_SYNC], 1);
        assert_int_equal(counts[FRAME_READY], 5);
        /* Half a frame, then another host. */
        buf_clear(&b);
        buf_append(&b, cut_off, sizeof(cut_off));
        buf_append(&b, SYNC_MARK, SYNC_MARK_LEN);
        assert_int_equal(message_put(&b, &m), 0);
        feed(&r, &b, steps[i], counts);
        assert_int_equal(counts[FRAME_SYNC], 1);
        assert_int_equal(counts[FRAME_READY], 1);
        assert_int_equal(counts[FRAME_BAD], 0);
        /* A length that is none: nothing counts until the next mark. */
        buf_clear(&b);
        buf_append(&b, "\xff\xff\xff\xff", 4);
        assert_int_equal(message_put(&b, &m), 0);
        buf_append(&b, SYNC_MARK, SYNC_MARK_LEN);
        assert_int_equal(message_put(&b, &m), 0);
        feed(&r, &b, steps[i], counts);
        assert_true(counts[FRAME_BAD] <= 1);
        assert_int_equal(counts[FRAME_READY], 1);
        frame_reader_done(&r);
    }
}

/* Whatever the data is, no frame holds a mark, and the pieces add up. */
static void data_never_looks_like_a_mark(void **state)
{
    (void)state;
    size_t n = 200000;
    _cleanup_free_ uint8_t *data = xmalloc(n);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)SYNC_MARK[i % SYNC_MARK_LEN];
    for (size_t start = 0; start < 2 * SYNC_MARK_LEN; start++) {
        for (size_t total = 1; total < 600; total += 7) {
            struct message m = {.kind = MESSAGE_DATA, .id = 0xc1, .data = bytes_of(data + start, total)};
            size_t pieces = 0;
            while (m.data.len) {
                _cleanup_buf_ struct buf b = BUF_INIT(FRAME_MAX);
                struct message back;
                ssize_t taken = message_put(&b, &m);
                assert_true(taken > 0);
                assert_int_equal(sync_mark_find(bytes_of(buf_head(&b), b.len)), -1);
                assert_int_equal(message_get(bytes_of(buf_head(&b) + 4, b.len - 4), &back), 0);
                assert_int_equal(back.data.len, taken);
                assert_memory_equal(back.data.data, m.data.data, taken);
                assert_int_equal(back.more, (size_t)taken < m.data.len);
                m.data = bytes_of(m.data.data + taken, m.data.len - (size_t)taken);
                pieces++;
            }
            assert_true(pieces <= total / 8 + 2);
        }
    }
    /* In an argument there is nothing to split. */
    _cleanup_buf_ struct buf b = BUF_INIT(FRAME_MAX), args = BUF_INIT(1024);
    struct args_path path = {.path = bytes_of(SYNC_MARK, SYNC_MARK_LEN)};
    struct packer p = {.to = &args};
    shape_pack(&p, operations[OPERATION_unlink].args, &path);
    struct message m = {.kind = MESSAGE_REQUEST, .id = 1, .op = bytes_str("unlink"), .args = bytes_of(buf_head(&args), args.len)};
    assert_int_equal(message_put(&b, &m), -1);
    assert_int_equal(b.len, 0);
}

static void frames_are_bounded(void **state)
{
    (void)state;
    _cleanup_free_ uint8_t *data = xcalloc(1, 1 << 20);
    _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
    struct message m = {.kind = MESSAGE_DATA, .id = UINT64_MAX, .data = bytes_of(data, 1 << 20), .stream = 1};
    assert_int_equal(message_put(&b, &m), PIECE_MAX);
    assert_true(b.len <= FRAME_MAX);
    m.kind = MESSAGE_OK;
    m.stream = 0;
    assert_int_equal(message_put(&b, &m), -1);
    _cleanup_buf_ struct buf small = BUF_INIT(100);
    m.kind = MESSAGE_DATA;
    assert_int_equal(message_put(&small, &m), -1);
    assert_int_equal(small.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_shapes),
        cmocka_unit_test(golden_messages),
        cmocka_unit_test(open_bits),
        cmocka_unit_test(malformed_messages),
        cmocka_unit_test(marks_split_the_stream),
        cmocka_unit_test(data_never_looks_like_a_mark),
        cmocka_unit_test(frames_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
