-- A first test: boot a machine, run a command, look at a file.
local vm = provium:vm("web", "default")
vm:boot()

test("a command runs on a real kernel", function(t)
    local r = vm:run("uname -s"):assert_ok()
    t:assert_eq(r.stdout, "Linux\n")
end)

test("files go in and out", function(t)
    vm:write_file("/tmp/greeting", "hello")
    t:assert_eq(vm:read_file("/tmp/greeting"), "hello")
    t:assert_eq(vm:stat("/tmp/greeting").size, 5)
end)

test("a failing command is a result, not an error", function(t)
    local r = vm:run("exit 3")
    t:assert_eq(r.exit_code, 3)
    t:assert(not r:ok())
end)
