#include "unit.h"

#include <math.h>
#include <string.h>

#include "wire/msgpack.h"

/* The shortest form of each value, byte for byte. */
static void golden(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        const char *bytes;
        size_t len;
    } ints[] = {
        {0, "\x00", 1},
        {127, "\x7f", 1},
        {128, "\xcc\x80", 2},
        {255, "\xcc\xff", 2},
        {256, "\xcd\x01\x00", 3},
        {65536, "\xce\x00\x01\x00\x00", 5},
        {INT64_C(1) << 32, "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9},
        {INT64_MAX, "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9},
        {-1, "\xff", 1},
        {-32, "\xe0", 1},
        {-33, "\xd0\xdf", 2},
        {-128, "\xd0\x80", 2},
        {-129, "\xd1\xff\x7f", 3},
        {-32769, "\xd2\xff\xff\x7f\xff", 5},
        {INT64_MIN, "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9},
    };
    for (size_t i = 0; i < ARRAY_SIZE(ints); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(64);
        struct packer p = {.to = &b};
        int64_t back;
        pack_int(&p, ints[i].value);
        assert_int_equal(b.len, ints[i].len);
        assert_memory_equal(buf_head(&b), ints[i].bytes, b.len);
        struct unpacker u = unpacker_of(bytes_of(buf_head(&b), b.len));
        assert_int_equal(unpack_int(&u, &back), 0);
        assert_true(back == ints[i].value);
    }
    _cleanup_buf_ struct buf b = BUF_INIT(256);
    struct packer p = {.to = &b};
    pack_map(&p, 3);
    pack_str(&p, "ok");
    pack_bool(&p, true);
    pack_str(&p, "d");
    pack_double(&p, 1.5);
    pack_nil(&p);
    pack_array(&p, 2);
    pack_bin(&p, "\0\1", 2);
    pack_uint(&p, UINT64_MAX);
    static const char expected[] = "\x83\xa2ok\xc3\xa1" "d\xcb\x3f\xf8\0\0\0\0\0\0\xc0\x92\xc4\x02\0\1\xcf\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_int_equal(b.len, sizeof(expected) - 1);
    assert_memory_equal(buf_head(&b), expected, b.len);
}

static void lengths(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 31, 32, 255, 256, 65535, 65536};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        _cleanup_buf_ struct buf b = BUF_INIT(1 << 20);
        _cleanup_free_ char *text = calloc(1, sizes[i] + 1);
        struct packer p = {.to = &b};
        struct bytes s;
        pack_strn(&p, text, sizes[i]);
        pack_bin(&p, text, sizes[i]);
        struct unpacker u = unpacker_of(bytes_of(buf_head(&b), b.len));
        assert_int_equal(unpack_bytes(&u, &s) | unpack_bytes(&u, &s), 0);
        assert_int_equal(s.len, sizes[i]);
        assert_ptr_equal(u.at, u.end);
        assert_false(p.full);
    }
}

/* Everything that must be refused, and without looking past the end. */
static void malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},
        {"\xc1", 1},                     /* never used */
        {"\xc7\x00\x01", 3},             /* an extension type */
        {"\xd9\x05" "abc", 5},           /* cut short */
        {"\xda\xff", 2},
        {"\xdf\xff\xff\xff\xff", 5},     /* four thousand million pairs in no bytes */
        {"\xdd\xff\xff\xff\xff\x00", 6},
        {"\x92\x01", 2},
        {"\x81\x01", 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct unpacker u = unpacker_of(bytes_of(bad[i].bytes, bad[i].len));
        assert_int_equal(unpack_skip(&u, NULL), -1);
    }
    /* Nesting costs nothing: 60 000 arrays in each other are skipped. */
    static char deep[60001];
    memset(deep, '\x91', sizeof(deep) - 1);
    struct unpacker u = unpacker_of(bytes_of(deep, sizeof(deep)));
    assert_int_equal(unpack_skip(&u, NULL), 0);
}

static void full_buffers(void **state)
{
    (void)state;
    _cleanup_buf_ struct buf b = BUF_INIT(4);
    struct packer p = {.to = &b};
    pack_str(&p, "abc");
    assert_false(p.full);
    pack_nil(&p);
    assert_true(p.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(lengths),
        cmocka_unit_test(malformed),
        cmocka_unit_test(full_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
