-- The small print of the test framework: conversions, limits, hooks, what happens inside of what. No machine is booted.
local inner = require("helpers.inner")

local run = inner.outcomes

test("a file without tests passes; one whose tests are filtered still runs its chunk", function(t)
    local _, file = run(t, "local x = 1")
    t:assert_eq(file.status, "passed")
    local tests, _, result = run(t, 'print("chunk ran") test("a", {tags = "x"}, function() end)', "--tag y")
    t:assert_eq(tests.a.status, "skipped")
    t:assert_contains(result.err, "chunk ran")
end)

test("todo: the last reason counts, a body may not call it", function(t)
    local tests = run(t, 'todo("first") test("a", function() end) todo()')
    t:assert_eq(tests.a.reason, "todo")
    t:assert_contains(run(t, 'test("a", function() todo("x") end)').a.message, "todo: cannot be called inside a test body")
end)

test("meta is converted, and what cannot be is named by its path", function(t)
    local tests = run(t, [[test("a", {skip = 1, list = {1, "two", {3}}, mixed = {10, key = true}, deep = {a = {b = 1.5}}}, function() end)]])
    t:assert_eq(tests.a.reason, "skipped (meta.skip)")
    local meta = tests.a.meta
    t:assert_eq(meta.list[2], "two")
    t:assert_eq(meta.list[3][1], 3)
    t:assert_eq(meta.mixed["1"], 10)
    t:assert_eq(meta.mixed.key, true)
    t:assert_eq(meta.deep.a.b, 1.5)
    for source, message in pairs{
        ['local m = {} m.a = {m}; test("a", m, function() end)'] = "cycle",
        ['local m = {} local at = m for i = 1, 20 do at.x = {} at = at.x end test("a", m, function() end)'] = "16 levels",
        ['test("a", {x = {y = {print}}}, function() end)'] = "meta.x.y",
        ['test("a", {slow = "yes"}, function() end)'] = 'test "a": meta.slow must be',
        ['test("a", {timeout = "soon"}, function() end)'] = "soon",
    } do
        local _, file = run(t, source)
        t:assert_contains(file.chunk_error, message)
    end
end)

test("values of meta match as text or booleans; integers and maps never", function(t)
    local source = [[
        test("boolean", {key = true}, function() end)
        test("integer", {key = 1}, function() end)
        test("map", {key = {a = "true"}}, function() end)]]
    local tests = run(t, source, "--tag-meta key=true")
    t:assert_eq(tests.boolean.status, "passed")
    t:assert_eq(tests.map.status, "skipped")
    t:assert_eq(run(t, source, "--tag-meta key=1").integer.status, "skipped")
    t:assert_eq(run(t, 'test("both", {a = "1", b = "2"}, function() end)', "--tag-meta a=1 --tag-meta b=3").both.reason,
        "filtered: did not match --tag-meta b=3")
end)

test("a skip is a skip, wherever it is raised", function(t)
    local tests = run(t, [[
        test("swallowed", function(t) pcall(t.skip, t, "inner") end)
        test("failed too", function(t) pcall(t.skip, t, "inner") t:fail("really") end)
        test("no reason", function(t) t:skip() end)
        test("not an error", function(t) t:assert_raises(function() t:skip("in there") end) end)]])
    t:assert_eq(tests.swallowed.reason, "inner")
    t:assert_eq(tests["failed too"].status, "failed")
    t:assert_eq(tests["no reason"].reason, "skipped")
    t:assert_eq(tests["not an error"].reason, "in there")
end)

test("assert_raises returns the value and forgives the failure; assertions cut long values", function(t)
    local tests = run(t, [[
        test("value", function(t)
            local mark = {}
            t:assert_eq(t:assert_raises(function() error(mark) end), mark)
            t:assert_raises(function() t:assert(false, "inside") end)
            t:assert_eq(t._failed, false)
        end)
        test("long", function(t) t:assert_eq(("x"):rep(10000), "y") end)
        test("first counts", function(t) pcall(t.fail, t, "one") t:fail("two") end)
        test("names", function(t) t:assert(t.name == "names" and next(t.meta) == nil) end)]])
    t:assert_eq(tests.value.status, "passed")
    t:assert(#tests.long.message < 6000, #tests.long.message)
    t:assert_contains(tests.long.message, "10000")
    t:assert_contains(tests["first counts"].message, "one")
    t:assert_eq(tests.names.status, "passed")
end)

test("error values of every kind are told", function(t)
    local tests = run(t, [[
        test("table", function() error({code = 7}) end)
        test("named", function() error(setmetatable({}, {__tostring = function() return "my words" end})) end)
        test("nothing", function() error() end)
        test("function", function() error(print) end)
        test("deep", function() local function f(n) if n == 0 then error("x") end return (f(n - 1)) end f(100) end)]])
    t:assert_contains(tests.table.message, '{"code":7}')
    t:assert_eq(tests.named.message, "my words")
    t:assert_contains(tests.nothing.message, "(error object is a nil)")
    t:assert_contains(tests["function"].message, "(error object is a function)")
    local _, frames = tests.deep.traceback:gsub("\n", "\n")
    t:assert(frames <= 21, frames)
    t:assert(not tests.deep.traceback:find("[provium", 1, true), tests.deep.traceback)
end)

test("hooks: one may register another, none may skip, all have their turn", function(t)
    local tests, _, result = run(t, [[
        test("nested", function(t) t:defer(function(t) t:defer(function() print("inner hook") end) end) end)
        test("skips", function(t) t:defer(function(t) t:skip("late") end) end)
        test("two fail", function(t)
            t:defer(function() print("still runs") end)
            t:defer(function() error("first hook") end)
        end)
        test("after a skip", function(t) t:defer(function() print("skip hook") end) t:skip("x") end)]])
    t:assert_eq(tests.nested.status, "passed")
    t:assert_eq(tests.skips.status, "failed")
    t:assert_contains(tests["two fail"].message, "first hook")
    t:assert_eq(tests["after a skip"].status, "skipped")
    for _, text in ipairs{"inner hook", "still runs", "skip hook"} do t:assert_contains(result.err, text) end
end)

test("logs keep 1 MiB, then count", function(t)
    local tests = run(t, [[test("a", function(t) for i = 1, 1100 do t:log(("x"):rep(1024)) end end)]])
    local log = tests.a.log
    t:assert(#log < 1100)
    t:assert_contains(log[#log], "dropped")
    t:assert_contains(log[#log], "76")
end)

test("settings of the file: checked at once, in force from the next test on", function(t)
    local tests = run(t, [[
        provium.timeout = 60
        test("bad", function(t) t:assert_raises(function() provium.timeout = "soon" end) end)
        test("sets", function(t) provium.timeout = "300ms" end)
        test("has", function() while true do end end)
        test("own", {timeout = 60}, function() wait_until(function() end, {timeout = 0.5, desc = "nothing"}) end)]])
    for _, name in ipairs{"bad", "sets"} do t:assert_eq(tests[name].status, "passed", name) end
    t:assert_contains(tests.has.message, "timed out after 0.3s")
    t:assert_contains(tests.own.message, "nothing not met within 0.5s")
end)

test("coroutines have the scope and the deadline of the test; a wait ends with its predicate's error", function(t)
    local tests = run(t, [[
        test("scope", function(t)
            co.wrap(function() provium:lab("inside") t:assert_eq(provium.inside:name(), "inside") end)()
        end)
        test("gone", function(t) t:assert_eq(provium.inside, nil) end)
        test("predicate", function() wait_until(function() error("broken") end) end)
        test("at the end", function(t)
            local n = 0
            pcall(wait_until, function() n = n + 1 end, {timeout = 0.2, interval = 60})
            t:assert_eq(n, 2)
        end)]])
    for _, name in ipairs{"scope", "gone", "at the end"} do t:assert_eq(tests[name].status, "passed", name) end
    t:assert_eq(tests.predicate.message, "x.test.lua:5: broken")
end)

test("sub-labs see only themselves", function(t)
    local tests = run(t, [[
        local outer = provium:vm("outer", "default")
        test("looks", function(t)
            t:assert_eq(provium:vm("outer"), outer)
            local lab = provium:lab("sub")
            t:assert_eq(lab.outer, nil)
            t:assert_contains(t:assert_raises(function() lab:vm("outer") end), 'no vm "outer" in lab "sub"')
            t:assert_contains(t:assert_raises(function() provium:vm("outer", "default") end), "already declared at parent scope")
        end)]])
    t:assert_eq(tests.looks.message, nil)
    t:assert_eq(tests.looks.status, "passed")
end)

test("what runs long is said, once to the test's log", function(t)
    local tests, _, result = run(t, [[
        test("slow", {timeout = 4}, function() wait_until(function() end, {timeout = 60, desc = "a thing"}) end)]])
    t:assert(result.err:find('still running after %d+s: x%.test%.lua "slow" in wait_until a thing'), result.err)
    local n = 0
    for _, line in ipairs(tests.slow.log) do n = n + (line:find("still running", 1, true) and 1 or 0) end
    t:assert_eq(n, 1)
end)

test("json: what has no JSON, and limits", function(t)
    for value, message in pairs{[math.huge] = "infinity", [print] = "function", [co.create(print)] = "thread"} do
        t:assert_contains(t:assert_raises(function() json.encode(value) end), message)
    end
    t:assert_raises(function() json.encode(0 / 0) end)
    t:assert_raises(function() json.encode{[2000000] = 1} end)
    t:assert_raises(function() json.encode{[true] = 1} end)
    t:assert_raises(function() json.encode(json.array{key = 1}) end)
    local deep = {}
    local at = deep
    for _ = 1, 200 do at[1] = {} at = at[1] end
    t:assert_raises(function() json.encode(deep) end)
    t:assert_raises(function() json.decode("[1] x") end)
    t:assert_eq(json.decode("null"), nil)
    t:assert_eq(json.decode("[null,1]")[2], 1)
    t:assert_eq(json.decode("9223372036854775808"), math.mininteger)
    t:assert_eq(math.type(json.decode("18446744073709551616")), "float")
    t:assert_eq(json.encode(nil), "null")
end)
