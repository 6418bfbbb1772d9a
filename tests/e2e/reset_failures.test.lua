-- reset_between_tests: what it refuses, and what a reset that fails does to the rest of the file.
local inner = require("helpers.inner")

test("a stream that is live when the tests begin fails the file", function(t)
    local run = inner.run(t, {["a.test.lua"] = [[
        provium.reset_between_tests = true
        local vm = provium:vm("a", "default"):boot()
        local tail = vm:tail_file("/proc/uptime")
        test("one", function() end)
        test("two", function() end)
    ]]})
    t:assert_contains(run.out, "reset_between_tests: would auto-snapshot a live stream in a.test.lua; open it inside a test:")
    t:assert(run.out:find('tail_file%("/proc/uptime"%) at [^\n]*a%.test%.lua:3'), run.out)
end)

test("a reset that fails poisons the tests after it", function(t)
    local run = inner.run(t, {["a.test.lua"] = [[
        provium.reset_between_tests = true
        local vm = provium:vm("a", "default"):boot()
        test("one", function()
            os.execute("find $(readlink /proc/$PPID/fd/* | grep provium-snapshots- | head -n 1) -name '*.snap' -exec truncate -s 1M {} +")
        end)
        test("two", function() end)
        test("three", function() end)
    ]]})
    t:assert_contains(run.out, "1 passed, 2 failed")
    t:assert_contains(run.out, "failed-due-to-poisoned-state: ")
    t:assert_contains(run.out, "truncated")
end)

test("what a body may not set", function(t)
    local run = inner.run(t, {["a.test.lua"] = [[
        test("one", function(t)
            t:assert_contains(t:assert_raises(function() provium.reset_between_tests = true end), "while the file is loaded")
            t:assert_contains(t:assert_raises(function() provium.other = true end),
                "the settings are provium.timeout and provium.reset_between_tests")
        end)
    ]]})
    t:assert_contains(run.out, "1 passed, 0 failed")
end)
