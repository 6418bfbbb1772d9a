#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "fixture/lexer.h"
#include "fixture/scan.h"

/* The tokens of `text`, "n:name s:'value' d:1 y:+", with `!` for a bad end. */
static char *tokens(const char *text)
{
    static const char letters[] = {[LUA_TOKEN_NAME] = 'n', [LUA_TOKEN_STRING] = 's', [LUA_TOKEN_NUMBER] = 'd',
                                   [LUA_TOKEN_SYMBOL] = 'y'};
    struct buf out = BUF_INIT(4096);
    struct lua_lexer l;
    struct lua_token t;
    lua_lexer_init(&l, text, strlen(text));
    while ((t = lua_lexer_next(&l)).kind != LUA_TOKEN_END && t.kind != LUA_TOKEN_BAD)
        buf_printf(&out, "%s%c:%.*s", out.len ? " " : "", letters[t.kind], (int)t.size, t.text);
    if (t.kind == LUA_TOKEN_BAD)
        buf_append_str(&out, " !");
    return buf_steal_str(&out);
}

static void assert_tokens(const char *text, const char *expected)
{
    _cleanup_free_ char *got = tokens(text);
    assert_string_equal(got, expected);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_tokens("", "");
    assert_tokens("#!/usr/bin/provium\nx", "n:x");
    assert_tokens("a.b:c(1)", "n:a y:. n:b y:: n:c y:( d:1 y:)");
    assert_tokens("::l:: a..b ... a//b~=c", "y::: n:l y::: n:a y:.. n:b y:... n:a y:// n:b y:~= n:c");
    assert_tokens("0x1p-3 1e+5 .5 3..2 0xep+1", "d:0x1p-3 d:1e+5 d:.5 d:3..2 d:0xep+1");
    assert_tokens("-- \"x\n--[[ y\n]] --[==[ ]] ]=] ]==] z --[ k\nv", "n:z n:v");
    assert_tokens("[[a]]]==[=[]]]=] x[i]", "s:[[a]] y:] y:== s:[=[]]]=] n:x y:[ n:i y:]");
    assert_tokens("'a\\'b' \"c\\\\\" 'd\\z  \n e' 'f\\\ng'", "s:'a\\'b' s:\"c\\\\\" s:'d\\z  \n e' s:'f\\\ng'");
    assert_tokens("a 'b\nc'", "n:a !");
    assert_tokens("a [[b", "n:a !");
    assert_tokens("a --[[b", "n:a !");
    assert_tokens("a $ b", "n:a !");
}

static void test_lines(void **state)
{
    (void)state;
    const char *text = "a\r\nb\n\rc\r[[\n\n]]d 'x\\z\n\n'e";
    const unsigned lines[] = {1, 2, 3, 4, 6, 6, 8};
    struct lua_lexer l;
    lua_lexer_init(&l, text, strlen(text));
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
        assert_int_equal(lua_lexer_next(&l).line, lines[i]);
}

static void assert_string_value(const char *literal, const char *value, size_t size)
{
    struct lua_lexer l;
    lua_lexer_init(&l, literal, strlen(literal));
    struct lua_token t = lua_lexer_next(&l);
    size_t got_size = 0;
    assert_int_equal(t.kind, LUA_TOKEN_STRING);
    _cleanup_free_ char *got = lua_token_string(&t, &got_size);
    if (!value) {
        assert_null(got);
        return;
    }
    assert_non_null(got);
    assert_int_equal(got_size, size);
    assert_memory_equal(got, value, size);
}

#define VALUE(literal, value) assert_string_value(literal, value, sizeof(value) - 1)

static void test_strings(void **state)
{
    (void)state;
    VALUE("'a\\n\\65\\x42\\0671'", "a\nABC1");
    VALUE("'\\u{48}\\u{20AC}\\u{7FFFFFFF}'", "H\xe2\x82\xac\xfd\xbf\xbf\xbf\xbf\xbf");
    VALUE("'a\\z \n  b\\\r\nc\\0d'", "ab\nc\0d");
    VALUE("[==[\r\na]]\r\nb]==]", "a]]\nb");
    VALUE("''", "");
    assert_string_value("'\\q'", NULL, 0);
    assert_string_value("'\\300'", NULL, 0);
    assert_string_value("'\\x4'", NULL, 0);
    assert_string_value("'\\u{80000000}'", NULL, 0);
    assert_string_value("'\\u{41'", NULL, 0);
}

/* Uses as "F:base@1 P:x@2". */
static void assert_uses(const char *text, const char *expected)
{
    struct buf out = BUF_INIT(4096);
    struct lua_uses u;
    lua_scan(text, strlen(text), &u);
    for (size_t i = 0; i < u.count; i++)
        buf_printf(&out, "%s%c:%s@%u", i ? " " : "", "FDPM"[u.items[i].kind], u.items[i].name, u.items[i].line);
    lua_uses_done(&u);
    _cleanup_free_ char *got = buf_steal_str(&out);
    assert_string_equal(got, expected);
}

static void test_uses(void **state)
{
    (void)state;
    assert_uses("local vm = provium:vm_fixture(\"base\")", "F:base@1");
    assert_uses("provium.lab_fixture('a/b', {name = 'x'})\nprovium:vm_fixture [[c]]", "F:a/b@1 F:c@2");
    assert_uses("vm_fixture('x') f(vm_fixture 'y')", "");
    assert_uses("provium:vm_fixture(name) provium:vm_fixture('a' .. b) provium:vm_fixture('a'..'b')", "");
    assert_uses("provium:vm_fixture(('a'))", "");
    assert_uses("-- provium:vm_fixture('x')\nlocal s = [[provium:vm_fixture('y')]]", "");
    assert_uses("local a = require('helpers.a').new() require 'b' x.require('c')", "M:helpers.a@1 M:b@1");
    assert_uses("provium:depends_on_file('../t.in')", "D:../t.in@1");
    assert_uses("vm:push_file('a', '/a') vm:push_file('b', '/b', {auto_dep = false})\n"
                "vm:push_file('c', f('x'), {mode = 1, auto_dep=true}) vm:push_file('d', g({auto_dep = false}), {})",
                "P:a@1 P:c@2");
    assert_uses("provium:vm_fixture('a\\0b')", "");
    assert_uses("f(provium:vm_fixture(provium:lab_fixture('in')))", "F:in@1");
    assert_uses("provium:vm_fixture('a') 'unfinished\n provium:vm_fixture('b')", "F:a@1");
}

static void assert_claim(const char *text, bool claims, uint64_t memory, uint64_t cpus)
{
    struct lua_uses u;
    lua_scan(text, strlen(text), &u);
    assert_int_equal(u.claims, claims);
    assert_int_equal(u.claim_memory, memory);
    assert_int_equal(u.claim_cpus, cpus);
    lua_uses_done(&u);
}

static void test_claims(void **state)
{
    (void)state;
    assert_claim("provium:claim{memory = '4G', cpus = 4}", true, UINT64_C(4) << 30, 4);
    assert_claim("provium:claim({cpus = 0x2; memory = 1048576,})", true, 1048576, 2);
    assert_claim("provium:claim{}", true, 0, 0);
    assert_claim("provium:claim{memory = size} provium:claim{cpus = n()}", false, 0, 0);
    assert_claim("provium:claim{memory = 2 * 1024}", false, 0, 0);
    assert_claim("provium:claim{cpus = -1}", false, 0, 0);
    assert_claim("provium:claim{memory = 'lots'}", false, 0, 0);
    assert_claim("test('x', function() provium:claim{cpus = 1} end)", false, 0, 0);
    assert_claim("if big then provium:claim{cpus = 1} end", false, 0, 0);
    assert_claim("for i = 1, 2 do if x then f() elseif y then g() else h() end end\n"
                 "repeat local a = function() while true do end end until x\nprovium:claim{cpus = 3}",
                 true, 0, 3);
    assert_claim("provium:claim{cpus = 1}\nprovium:claim{cpus = 2}", true, 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens), cmocka_unit_test(test_lines),  cmocka_unit_test(test_strings),
        cmocka_unit_test(test_uses),   cmocka_unit_test(test_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
