-- Deadlines of tests that talk to a machine: the call is cancelled, the machine goes on.
local inner = require("helpers.inner")

test("a blocking call is cancelled, hooks run, the next test finds the machine alive", function(t)
    local result = inner.run(t, {["x.test.lua"] = [[
        local vm = provium:vm("box", "default"):boot()
        test("sleeps", {timeout = 1}, function(t)
            t:defer(function() vm:write_file("/tmp/hook", "ran") end)
            vm:run("sleep 1000")
        end)
        test("after", function(t)
            t:assert_eq(vm:read_file("/tmp/hook"), "ran")
            wait_until(function() return vm:run("pidof sleep").exit_code == 1 end)
        end)
    ]]}, "--json x.test.lua")
    local tests = inner.json(result)["x.test.lua"].tests
    t:assert_contains(tests[1].message, 'timed out after 1s in vm "box": run "sleep 1000" (x.test.lua:4)')
    t:assert_eq(tests[2].status, "passed")
end)

test("a machine that stopped answering poisons the tests after", function(t)
    local result = inner.run(t, {["x.test.lua"] = [[
        local vm = provium:vm("box", "default"):boot()
        test("stops", {timeout = 2}, function(t)
            os.execute("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | " ..
                "grep -q '^[^ ]*qemu-system.*provium-box' && kill -STOP ${p#/proc/}; done")
            vm:run("true")
        end)
        test("after", function(t) end)
    ]]}, "--json x.test.lua")
    local tests = inner.json(result)["x.test.lua"].tests
    t:assert_contains(tests[1].message, "timed out after 2s")
    t:assert_contains(tests[2].message,
        'failed-due-to-poisoned-state: vm "box" stopped answering after "stops" timed out')
end)
