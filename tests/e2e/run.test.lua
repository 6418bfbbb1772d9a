-- vm:run: forms, options, results.
local vm = provium:vm("box", "default"):boot()

test("text goes to the shell", function(t)
    local r = vm:run("echo out; echo err >&2; exit 7")
    t:assert_eq(r.status, "exited")
    t:assert_eq(r.exit_code, 7)
    t:assert_eq(r.stdout, "out\n")
    t:assert_eq(r.stderr, "err\n")
    t:assert(not r:ok())
    t:assert_eq(r.signal, nil)
    t:assert_eq(r.timed_out, false)
    t:assert_eq(r.truncated, false)
end)

test("a table is executed directly", function(t)
    t:assert_eq(vm:run("echo", {"a b", "$HOME", 3}).stdout, "a b $HOME 3\n")
    t:assert_eq(vm:run({"echo", "x"}).stdout, "x\n")
    t:assert_eq(vm:run("echo", {args = {"y"}, umask = 63}).stdout, "y\n")
    t:assert_eq(vm:run({"pwd"}, {cwd = "/proc"}).stdout, "/proc\n")
    t:assert_eq(vm:run("echo $0", {}).exit_code, 0)
end)

test("a program that cannot be started raises with its errno", function(t)
    t:assert_contains(t:assert_raises(function() vm:run({"/no/such"}) end),
        'vm "box": run "/no/such": ENOENT: No such file or directory')
    t:assert_eq(vm:run("/no/such").exit_code, 127)
end)

test("environment: added, removed, cleared", function(t)
    t:assert_eq(vm:run("echo $A", {env = {A = "1"}}).stdout, "1\n")
    t:assert(not vm:run({"/bin/busybox", "env"}, {env = {HOME = false}}).stdout:find("HOME="))
    t:assert_eq(vm:run({"/bin/busybox", "env"}, {env_clear = true, env = {B = "2"}}).stdout, "B=2\n")
end)

test("directory, input, umask", function(t)
    t:assert_eq(vm:run("pwd", {cwd = "/tmp"}).stdout, "/tmp\n")
    t:assert_contains(t:assert_raises(function() vm:run("pwd", {cwd = "/no"}) end), "ENOENT")
    t:assert_eq(vm:run("cat", {stdin = "a\0b"}).stdout, "a\0b")
    t:assert_eq(vm:run("cat").stdout, "")
    t:assert_eq(vm:run("umask").stdout, "0022\n")
    t:assert_eq(vm:run("umask", {umask = 63}).stdout, "0077\n")
end)

test("users and groups by name and number", function(t)
    t:assert_eq(vm:run("id -u; id -g", {user = "nobody"}).stdout, "65534\n65534\n")
    t:assert_eq(vm:run("id -u; id -g; id -G", {user = 1234, group = 5, groups = {6, 7}}).stdout, "1234\n5\n5 6 7\n")
    t:assert_eq(vm:run("id -g; id -G", {user = "nobody", group = "root", groups = {"nogroup", 0}}).stdout, "0\n0 65534\n")
    t:assert_contains(t:assert_raises(function() vm:run("true", {user = "ghost"}) end), "ghost")
    t:assert_contains(t:assert_raises(function() vm:run("true", {group = "ghosts"}) end), "unknown group `ghosts`")
    t:assert_eq(vm:run("sleep 100", {timeout_ms = 200}).status, "timed_out")
end)

test("a timeout kills the whole process group and keeps the output", function(t)
    local r = vm:run("echo before; sleep 100 & sleep 100", {timeout = "500ms"})
    t:assert_eq(r.status, "timed_out")
    t:assert_eq(r.exit_code, -2)
    t:assert(r.timed_out)
    t:assert_eq(r.stdout, "before\n")
    wait_until(function() return vm:run("pidof sleep").exit_code == 1 end, {desc = "no sleep left"})
    t:assert_contains(t:assert_raises(function() r:assert_ok() end), "timed out after 0.5s")
end)

test("signals are told apart from exit codes", function(t)
    local r = vm:run("kill -TERM $$")
    t:assert_eq(r.status, "signalled")
    t:assert_eq(r.signal, 15)
    t:assert_eq(r.exit_code, -1)
    t:assert_contains(t:assert_raises(function() r:assert_ok() end), "killed by SIGTERM (15)")
end)

test("output is capped without blocking the process", function(t)
    local r = vm:run("head -c 300000 /dev/zero; echo done >&2", {max_output = "64K"})
    t:assert_eq(#r.stdout, 65536)
    t:assert_eq(r.truncated, true)
    t:assert_eq(r.stderr, "done\n")
    t:assert_eq(r.exit_code, 0)
end)

test("a descendant that holds the pipe delays the result by little", function(t)
    local r = vm:run("sleep 100 & echo started")
    t:assert_eq(r.stdout, "started\n")
    vm:run("killall sleep")
end)

test("assert_ok returns the result, or raises with both outputs", function(t)
    t:assert_eq(vm:run("echo x"):assert_ok().stdout, "x\n")
    local message = t:assert_raises(function() vm:run("echo o; echo e >&2; false"):assert_ok() end)
    t:assert_contains(message, "exited with 1")
    t:assert_contains(message, "stdout:\no")
    t:assert_contains(message, "stderr:\ne")
end)

test("mistakes in the call are named", function(t)
    local cases = {
        [function() vm:run("x", {tiemout = 1}) end] = 'unknown key "tiemout"',
        [function() vm:run("x", {"a", cwd = "/"}) end] = "array entries mixed",
        [function() vm:run("a\0b") end] = "NUL byte",
        [function() vm:run("x", {timeout = 0}) end] = "timeout must be positive",
        [function() vm:run("x", {timeout = 1, timeout_ms = 1}) end] = "exclude each other",
        [function() vm:run("x", {timeout = "soon"}) end] = "soon",
        [function() vm:run({}) end] = "the command is empty",
        [function() vm:run("x", {umask = 512}) end] = "umask must be 0 to 511",
        [function() vm:run("x", {{}}) end] = "argument 1",
        [function() vm.run(nil, "x") end] = "expected a VM",
        [function() return vm:run("true").exitcode end] = 'RunResult has no member "exitcode"',
    }
    for call, message in pairs(cases) do
        t:assert_contains(t:assert_raises(call), message)
    end
end)
