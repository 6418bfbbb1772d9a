-- Hundreds of files of every kind: each gets its verdict, and none harms another. No machine is booted.
local inner = require("helpers.inner")

local kinds = {
    {"passed", 'test("x", function(t) t:assert(true) end)'},
    {"failed", 'test("x", function(t) t:fail("no") end) test("y", function() end)'},
    {"passed", 'test("x", function(t) t:skip("today") end)'},
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
    files["hang.test.lua"], expected["hang.test.lua"] = 'test("x", function() while true do end end)', "timed_out"
    files["memory.test.lua"] = 'test("x", function() local x = ("x"):rep(0x7ffffff0) end)'
    expected["memory.test.lua"] = "failed"
    local result = inner.run(t, files, "--json --timeout 30s -j4 --save-events ev .")
    local got = inner.json(result)
    t:assert_eq(result.code, 1)
    for path, status in pairs(expected) do
        t:assert(got[path], path .. " is missing")
        t:assert_eq(got[path].status, status, path)
    end
    t:assert_contains(result.err, "302 file(s); ")
    local events = require("helpers.events")
    local list = events.read(result.dir .. "/ev")
    t:assert_eq(#events.of(list, "file_completed"), 302)
    t:assert_eq(list[#list - 1].payload.used.memory_bytes, 0)
end)
