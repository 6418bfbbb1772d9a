-- Hundreds of files of every kind: each gets its verdict, and none harms another. No machine is booted.
local inner = require("helpers.inner")

local kinds = {
    {"passed", 'test("x", function(t) t:assert(true) end)'},
    {"failed", 'test("x", function(t) t:fail("no") end) test("y", function() end)'},
    {"passed", 'test("x", function(t) t:skip("today") end) test("y", {skip = true}, function() end)'},
    {"crashed", 'test("x", function() os.execute("kill -SEGV $PPID") end) test("y", function() end)'},
    {"failed", 'test("x", function() os.exit(0) end)'},
    {"failed", "this is no Lua"},
    {"crashed", 'os.execute("kill -KILL $PPID")'},
    {"passed", 'test("x", function() os.execute("sleep 100 >/dev/null 2>&1 &") end)'}, -- an orphan
}

test("300 files of every kind", function(t)
    local files, expected = {}, {}
    for i = 1, 300 do
        -- One in ten is of another kind than passed.
        local kind = kinds[i % 10 == 0 and 2 + i // 10 % (#kinds - 1) or 1]
        local path = ("d%d/t%03d.test.lua"):format(i % 7, i)
        files[path], expected[path] = kind[2], kind[1]
    end
    for name, kind in pairs {
        hang = {"timed_out", 'test("x", function() while true do end end)'},
        catch = {"timed_out", 'test("x", function() while true do pcall(function() while true do end end) end end)'},
        -- A pattern that no alarm can interrupt: the process has to go.
        stuck = {"timed_out", 'test("x", function() return (("a"):rep(40)):find(("a*"):rep(38) .. "b") end)'},
        memory = {"failed", 'test("x", function() local x = ("x"):rep(0x7ffffff0) end)'},
    } do
        expected[name .. ".test.lua"], files[name .. ".test.lua"] = kind[1], kind[2]
    end
    local result = inner.run(t, files, "--json --timeout 15s -j4 --save-events ev .")
    local got = inner.json(result)
    t:assert_eq(result.code, 1)
    for path, status in pairs(expected) do
        t:assert(got[path], path .. " is missing")
        t:assert_eq(got[path].status, status, path)
    end
    t:assert_contains(got["stuck.test.lua"].tests[1].message, "file timed out after 15s, and had to be killed")
    t:assert_contains(result.err, "304 file(s); ")
    local events = require("helpers.events")
    local list = events.read(result.dir .. "/ev")
    t:assert_eq(#events.of(list, "file_completed"), 304)
    t:assert_eq(list[#list - 1].payload.used.memory_bytes, 0)
end)

test("a file that takes memory bit by bit gets an error, and the next test what it has given back", {timeout = "4m"}, function(t)
    local result = inner.run(t, {["x.test.lua"] = [[
        test("grows", function() local x = {} while true do x[#x + 1] = ("x"):rep(1 << 27) end end)
        test("after", function(t) t:assert_eq(#("x"):rep(1 << 27), 1 << 27) end)]]}, "--json x.test.lua")
    local tests = inner.json(result)["x.test.lua"].tests
    t:assert_contains(tests[1].message, "not enough memory")
    t:assert_eq(tests[2].status, "passed")
end)
