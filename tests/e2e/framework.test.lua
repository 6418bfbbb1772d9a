-- Outcomes, filters and messages of the test framework. No machine is booted.
local inner = require("helpers.inner")

local outcomes = inner.outcomes

test("passed, failed and skipped are told apart", function(t)
    local tests, file, result = outcomes(t, [[
        test("good", function(t) end)
        test("bad", function(t) t:assert(false, "no luck") end)
        test("later", function(t) t:skip("not today") end)
        test("raises", function(t) error("boom") end)
    ]])
    t:assert_eq(result.code, 1)
    t:assert_eq(file.status, "failed")
    t:assert_eq(tests.good.status, "passed")
    t:assert_eq(tests.bad.message, "x.test.lua:2: no luck")
    t:assert_eq(tests.later.status, "skipped")
    t:assert_eq(tests.later.reason, "not today")
    t:assert_eq(tests.raises.message, "x.test.lua:4: boom")
end)

test("assertions say what they compared", function(t)
    local tests = outcomes(t, [[
        test("eq", function(t) t:assert_eq(1, 2, "sum") end)
        test("types", function(t) t:assert_eq(1, "1") end)
        test("bytes", function(t) t:assert_eq("a\0b", "c") end)
        test("neq", function(t) t:assert_neq(1, 1) end)
        test("tables", function(t) t:assert_eq({}, {}) end)
        test("contains", function(t) t:assert_contains("hay", "needle") end)
        test("not strings", function(t) t:assert_contains(1, {}) end)
        test("raises", function(t) t:assert_raises(function() end) end)
        test("fail", function(t) t:fail() end)
        test("swallowed", function(t) pcall(t.fail, t, "kept") end)
    ]])
    t:assert_eq(tests.eq.message, "x.test.lua:1: sum: 1 ~= 2")
    t:assert_eq(tests.types.message, 'x.test.lua:2: 1 ~= "1"')
    t:assert_contains(tests.bytes.message, [["a\x00b" ~= c]])
    t:assert_eq(tests.neq.message, "x.test.lua:4: 1 == 1")
    t:assert_contains(tests.tables.message, "(tables compare by identity)")
    t:assert_contains(tests.contains.message, '"needle" not found in "hay"')
    t:assert_contains(tests["not strings"].message, "both arguments must be strings (got number, table)")
    t:assert_contains(tests.raises.message, "assert_raises: expected to raise")
    t:assert_contains(tests.fail.message, "explicit failure (t:fail)")
    t:assert_eq(tests.swallowed.status, "failed")
    t:assert_contains(tests.swallowed.message, "kept")
end)

test("filters are applied in order, with exact reasons", function(t)
    local source = [[
        test("slow", {slow = true}, function() end)
        test("off", {skip = true}, function() end)
        test("why", {skip = "broken"}, function() end)
        test("net", {tags = {"net", "quick"}, spec = "A", touches = {"link", "route"}}, function() end)
        test("disk", {tags = "disk", spec = {"A", "B"}}, function() end)
    ]]
    local tests = outcomes(t, source)
    t:assert_eq(tests.slow.reason, "filtered: slow tests skipped (pass --include-slow)")
    t:assert_eq(tests.off.reason, "skipped (meta.skip)")
    t:assert_eq(tests.why.reason, "skipped: broken")
    t:assert_eq(outcomes(t, source, "--include-slow").slow.status, "passed")
    tests = outcomes(t, source, "--tag net --no-tag disk")
    t:assert_eq(tests.net.status, "passed")
    t:assert_eq(tests.disk.reason, "filtered: matched --no-tag disk")
    t:assert_eq(outcomes(t, source, "--tag net").disk.reason, "filtered: did not match --tag net")
    tests = outcomes(t, source, "--tag-meta spec=B")
    t:assert_eq(tests.disk.status, "passed")
    t:assert_eq(tests.net.reason, "filtered: did not match --tag-meta spec=B")
    t:assert_eq(outcomes(t, source, "--tag-meta touches=route").net.status, "passed")
    t:assert_eq(outcomes(t, source, "--no-tag-meta spec=B").disk.reason, "filtered: matched --no-tag-meta spec=B")
end)

test("todo skips the whole file", function(t)
    local tests = outcomes(t, 'test("a", function() end) todo("soon") test("b", function() end)')
    t:assert_eq(tests.a.reason, "soon")
    t:assert_eq(tests.b.reason, "soon")
end)

test("registration mistakes are named", function(t)
    local cases = {
        ['test("", function() end)'] = "test: name must be a non-empty string",
        ['test("a", 1, function() end)'] = 'test "a": meta must be a table (got number)',
        ['test("a", {}, 5)'] = 'test "a": body must be a function (got number)',
        ['test("a", {timeout = -1}, function() end)'] = 'test "a": meta.timeout',
        ['test("a", {tags = 1}, function() end)'] = 'test "a": meta.tags must be array of strings or string (got integer)',
        ['test("a", {x = function() end}, function() end)'] = "meta.x: a function cannot be converted",
        ['test("a", function() end) test("a", function() end)'] = "test: duplicate test name `a` in this file",
    }
    for source, message in pairs(cases) do
        local _, file, result = outcomes(t, source)
        t:assert_eq(result.code, 1, source)
        t:assert_contains(file.chunk_error, message)
    end
    local tests = outcomes(t, 'test("a", function() test("b", function() end) end)')
    t:assert_contains(tests.a.message, 'test: cannot register "b" inside a test body')
end)

test("a syntax error fails the file with its line", function(t)
    local _, file, result = outcomes(t, "local x =\n\nfoo bar")
    t:assert_eq(result.code, 1)
    t:assert_contains(file.chunk_error, "x.test.lua:3:")
    t:assert_eq(#file.tests, 0)
end)

test("an error in the chunk fails the file, its tests are not run", function(t)
    local _, file = outcomes(t, 'test("a", function() end)\nerror("no")')
    t:assert_contains(file.chunk_error, "x.test.lua:2: no")
    t:assert_eq(file.status, "failed")
    t:assert_eq(#file.tests, 0)
end)

test("hooks run last first, after failures too, and can fail a test", function(t)
    local tests, _, result = outcomes(t, [[
        test("order", function(t)
            t:defer(function() print("first") end)
            t:defer(function() print("second") end)
            error("body")
        end)
        test("bad hook", function(t) t:defer(function() error("hook") end) end)
    ]])
    t:assert(result.err:find("second.*first"), "hooks ran last first")
    t:assert_contains(tests["bad hook"].message, "defer (x.test.lua:6): x.test.lua:6: hook")
end)

test("an endless loop is stopped at its deadline and the next test runs", function(t)
    local tests = outcomes(t, [[
        test("loop", {timeout = "300ms"}, function() while true do end end)
        test("stubborn", {timeout = "300ms"}, function() while true do pcall(function() while true do end end) end end)
        test("coroutine", {timeout = "300ms"}, function() co.wrap(function() while true do end end)() end)
        test("next", function() end)
    ]])
    t:assert_contains(tests.loop.message, "timed out after 0.3s in Lua code at x.test.lua:1")
    t:assert_eq(tests.stubborn.status, "failed")
    t:assert_eq(tests.coroutine.status, "failed")
    t:assert_eq(tests.next.status, "passed")
end)

test("children of io.popen and os.execute end with the deadline", function(t)
    local tests = outcomes(t, [[
        test("execute", {timeout = "300ms"}, function() os.execute("sleep 100") end)
        test("popen", {timeout = "300ms"}, function() io.popen("sleep 100"):read("a") end)
        test("works", function(t)
            t:assert_eq(io.popen("echo hi"):read("a"), "hi\n")
            local ok, kind, code = os.execute("exit 3")
            t:assert_eq(code, 3)
        end)
    ]])
    t:assert_contains(tests.execute.message, "timed out after 0.3s in os.execute")
    t:assert_contains(tests.popen.message, "timed out after 0.3s in the body of the test (")
    t:assert_eq(tests.works.status, "passed")
end)

test("the file limit fails the running test and those after it", function(t)
    local tests, file, result = outcomes(t, [[
        test("slow one", function() while true do end end)
        test("never", function() end)
    ]], "--timeout 500ms")
    t:assert_eq(result.code, 1)
    t:assert_eq(file.status, "timed_out")
    t:assert_contains(tests["slow one"].message, "file timed out after 0.5s in Lua code")
    t:assert_contains(tests.never.message, "not run: file timed out")
end)

test("a crash of the file's process is one crashed file", function(t)
    local result = inner.run(t, {
        ["a.test.lua"] = 'test("dies", function() os.execute("kill -KILL $PPID") end) test("after", function() end)',
        ["b.test.lua"] = 'test("fine", function() end)',
    }, "--json .")
    local files = inner.json(result)
    t:assert_eq(result.code, 1)
    t:assert_eq(files["a.test.lua"].status, "crashed")
    t:assert_contains(files["a.test.lua"].tests[1].message, "worker killed by SIGKILL")
    t:assert_contains(files["a.test.lua"].tests[2].message, "failed-due-to-poisoned-state")
    t:assert_eq(files["b.test.lua"].status, "passed")
end)

test("stack overflow and lack of memory are failures like others", function(t)
    local tests = outcomes(t, [[
        test("deep", function() local function f() return 1 + f() end f() end)
        test("c deep", function() local s = string.rep("(", 300) assert(load("return " .. s)) end)
        test("memory", function() local x = string.rep("x", 0x7ffffff0) end)
        test("after", function() end)
    ]])
    t:assert_contains(tests.deep.message, "stack overflow")
    t:assert_eq(tests["c deep"].status, "failed")
    t:assert_contains(tests.memory.message, "not enough memory")
    t:assert_eq(tests.after.status, "passed")
end)

test("what would unsettle the process is refused", function(t)
    local tests = outcomes(t, [[
        test("exit", function() os.exit(0) end)
        test("hook", function() debug.sethook() end)
        test("field", function() provium.colour = 1 end)
    ]])
    t:assert_contains(tests.exit.message, "os.exit is not available in a test file")
    t:assert_contains(tests.hook.message, "debug.sethook is not available")
    t:assert_contains(tests.field.message, "provium.colour cannot be assigned")
end)

test("helpers are found under every root, chunk names are whole", function(t)
    local deep = "a/very/long/directory/name/that/is/longer/than/the/sixty/bytes/of/lua"
    local result = inner.run(t, {
        ["provium.toml"] = '[provium]\nroots = ["tests", "more"]\n',
        ["tests/" .. deep .. "/x.test.lua"] = [[
            local h = require("helpers.h")
            local m = require("pack")
            test("a", function(t) t:assert_eq(h.n + m.n, 3) local x = nil; x.y = 1 end)]],
        ["tests/helpers/h.lua"] = "return {n = 1}",
        ["more/pack/init.lua"] = "return {n = 2}",
    }, "--json")
    local file = inner.json(result)["tests/" .. deep .. "/x.test.lua"]
    t:assert_contains(file.tests[1].message, "tests/" .. deep .. "/x.test.lua:3: attempt to index a nil value")
end)

test("wait_until returns the value or says what was not met", function(t)
    local n = 0
    t:assert_eq(wait_until(function() n = n + 1 return n == 3 and "three" end, {interval = "1ms"}), "three")
    local message = t:assert_raises(function()
        wait_until(function() end, {timeout = 0.05, interval = 0.01, desc = "never"})
    end)
    t:assert_contains(message, "wait_until: never not met within 0.05s")
    t:assert_contains(t:assert_raises(function() wait_until(function() end, {timeout = "soon"}) end),
        'wait_until: bad timeout string "soon"')
    t:assert_contains(t:assert_raises(function() wait_until(function() end, {tiemout = 1}) end), 'unknown key "tiemout"')
end)

test("json keeps integers, gaps and order", function(t)
    t:assert_eq(json.encode({b = 1, a = {1, 2}, c = {[3] = true}}), '{"a":[1,2],"b":1,"c":[null,null,true]}')
    t:assert_eq(json.encode({}), "{}")
    t:assert_eq(json.encode(json.array()), "[]")
    t:assert_eq(json.encode(1.0), "1.0")
    t:assert_eq(json.encode(0.1), "0.1")
    t:assert_eq(json.decode("18446744073709551615"), -1)
    t:assert_eq(json.decode("-9223372036854775808"), math.mininteger)
    t:assert_eq(math.type(json.decode("1e2")), "float")
    t:assert_eq(json.decode('{"a":1,"a":2}').a, 2)
    t:assert_eq(json.encode(json.decode("[]")), "[]")
    t:assert_eq(json.decode('"\\ud83d\\ude00"'), "😀")
    t:assert_contains(t:assert_raises(function() json.decode('{"a":\n  tru}') end), "at line 2 column 3")
    t:assert_contains(t:assert_raises(function() json.encode({"\xff"}) end), "invalid UTF-8 at offset 0")
    t:assert_contains(t:assert_raises(function() json.encode({[1] = 1, x = print}) end), "a function cannot be represented")
    local cycle = {}
    cycle.self = cycle
    t:assert_contains(t:assert_raises(function() json.encode(cycle) end), "a cycle")
end)

test("logs are shown with a failure", function(t)
    local result = inner.run(t, {["x.test.lua"] = 'test("a", function(t) t:log("a clue") t:fail("x") end)'}, "x.test.lua")
    t:assert_contains(result.out, "FAIL x.test.lua (0 passed, 1 failed, 0 skipped)\n    FAIL a\n        x.test.lua:1: x\n")
    t:assert_contains(result.out, "        log: a clue\n")
    t:assert(result.out:find("\n1 file%(s%); 0 passed, 1 failed, 0 skipped; %d+%.%d%ds\n$"), "summary")
end)
