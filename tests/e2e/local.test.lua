-- --vmm local: the agent as a process, without a machine. Neither QEMU nor a bundled guest is there.
local inner = require("helpers.inner")

local NOTHING = "PROVIUM_GUEST_DIR=/nonexistent PROVIUM_QEMU=/nonexistent "

-- Each test of the source has to pass.
local function pass(t, source, args)
    local result = inner.run(t, {["x.test.lua"] = source}, ("--vmm local -v %s ."):format(args or ""), {env = NOTHING})
    t:assert_eq(result.code, 0)
    return result
end

test("commands, files, processes, streams, system calls, workers and batches work, and the run says what it is", function(t)
    local result = pass(t, [[
        local a, b = provium:vm("a", "default"), provium:vm("b", "default")
        provium:boot()
        test("commands", function(t)
            t:assert_eq(a:run("echo $HOME $TMPDIR; pwd"):assert_ok().stdout, "/tmp /tmp\n/tmp\n")
            t:assert_eq(a:run({"sh", "-c", "exit 3"}).exit_code, 3)
            t:assert_eq(a:run("cat", {stdin = "in"}).stdout, "in")
            t:assert_eq(a:console():read_log(), "")
            t:assert(math.abs(a:clock():get() - os.time()) < 60)
        end)
        test("files, which another VM does not see", function(t)
            a:write_file("/tmp/x", "content")
            t:assert_eq(a:read_file("x"), "content")
            t:assert_eq(a:stat("/tmp/x").size, 7)
            t:assert_eq(#a:listdir("/tmp"), 1)
            t:assert_eq(#b:listdir("/tmp"), 0)
            a:rename("/tmp/x", "/tmp/y")
            t:assert_eq(a:open_file("/tmp/y", {read = true}):read(3), "con")
        end)
        test("processes and streams", function(t)
            local p = a:run_async("echo one; cat")
            local stream = p:stdout_stream()
            t:assert_eq(stream:read_until("\n"), "one\n")
            p:stdin_write("two\n")
            t:assert_eq(stream:read_until("\n"), "two\n")
            stream:close()
            p:close_stdin()
            t:assert_eq(p:wait().exit_code, 0)
        end)
        test("system calls, workers and batches", function(t)
            local getpid = 39
            t:assert(a:syscall(getpid).ret > 1)
            local w = a:spawn_worker()
            t:assert_eq(w:syscall(getpid).ret, w:pid())
            t:assert_eq(w:run("echo works").stdout, "works\n")
            local results = a:batch(function(batch)
                batch:mkdir("/tmp/d")
                batch:stat("/tmp/d")
            end)
            t:assert_eq(results[2].ok.entry_type, "directory")
        end)
        test("it sees its own processes only", function(t)
            t:assert(#a:run("echo /proc/[0-9]*"):assert_ok().stdout < 100)
        end)
    ]])
    t:assert_contains(result.err, "note: --vmm local: no guests and no kernels of their own")
    t:assert_eq(result.err:find("TCG", 1, true), nil)
    t:assert_contains(inner.run(t, {}, "--vmm xen .").err, '"qemu" or "local"')
end)

test("what needs a machine raises, naming itself and the flag", function(t)
    pass(t, [[
        local a, lan = provium:vm("a", "default"), provium:bridge("lan")
        a:boot()
        local clock = a:clock()
        local function refused(t, what, ...)
            local problem = t:assert_raises(...)
            t:assert_contains(problem, "x.test.lua:")
            t:assert_contains(problem, what .. ": not possible with --vmm local, which has no machine; run without it")
        end
        test("calls of a VM", function(t)
            for _, name in ipairs{"pause", "resume", "reset", "power_button", "wakeup", "snapshot", "nic", "ip"} do
                refused(t, 'vm "a": ' .. name, function() a[name](a) end)
            end
            refused(t, 'vm "a": restore', function() a:restore("./x.snap") end)
            for _, name in ipairs{"set", "set_ns", "advance"} do
                refused(t, 'vm "a": clock: ' .. name, function() clock[name](clock, 1) end)
            end
        end)
        test("calls of labs and bridges", function(t)
            for _, name in ipairs{"pause", "resume", "snapshot", "restore", "vm_fixture", "lab_fixture"} do
                refused(t, "lab:" .. name, function() provium[name](provium, "./x") end)
            end
            refused(t, "bridge:attach", function() lan:attach(a) end)
            refused(t, "lab:vm: from_snapshot", function() provium:vm("c", "default", {from_snapshot = "./x"}) end)
        end)
        test("boot options", function(t)
            local c = provium:vm("c", "default")
            for key, value in pairs{kernel_cmdline = "quiet", kernel_cmdline_append = "quiet", initial_time = 1, rng_seed = 1,
                                    files = {{path = "/x", content = ""}}} do
                refused(t, 'vm "c": boot: ' .. key, function() c:boot{[key] = value} end)
            end
            c:boot{memory = "1G", cpus = 2}
        end)
        test("and all goes on", function(t) a:run("true"):assert_ok() end)
    ]])
    local reset = inner.run(t, {["x.test.lua"] = [[
        provium.reset_between_tests = true
        test("a", function() end)
    ]]}, "--vmm local .", {env = NOTHING})
    t:assert_eq(reset.code, 1)
    t:assert_contains(reset.out, "reset_between_tests: not possible with --vmm local")
end)

test("an agent that is killed is a dead VM, which can be booted again", function(t)
    pass(t, [[
        test("a", function(t)
            local a <close> = provium:vm("a", "default")
            a:boot()
            a:write_file("/tmp/x", "")
            local problem = t:assert_raises(function() a:run("kill -9 $PPID; sleep 100") end)
            t:assert_contains(problem, "the VM died (the agent was killed by SIGKILL)")
            t:assert_eq(a:state(), "dead")
            t:assert_contains(t:assert_raises(function() a:run("true") end), "the agent was killed by SIGKILL")
            t:assert_eq(#a:boot():listdir("/tmp"), 0)
            a:shutdown()
            t:assert_eq(a:state(), "shutdown")
            t:assert_eq(a:boot():state(), "booted")
        end)
    ]])
end)

test("the host's clock is out of reach, and `kill -1` ends nothing of it", function(t)
    for _, sandbox in ipairs{"auto", "off"} do
        pass(t, [[
            test("a", function(t)
                local a <close> = provium:vm("a", "default")
                a:boot()
                t:assert_eq(a:syscall(227, {args = {0, 0}, bufs = {string.pack("<i8i8", os.time(), 0)}, ptrs = {1}}).errno, 1) -- clock_settime
                t:assert_eq(a:run("echo $PPID").stdout, "2\n") -- of its own namespace; else what follows would be a catastrophe
                t:assert_raises(function() a:run("kill -9 -1; sleep 100") end)
                t:assert_eq(a:state(), "dead")
            end)
        ]], "--sandbox " .. sandbox)
    end
end)

test("no process and no file is left, of a VM that ended and of a run that was killed", function(t)
    local mark = ("provium_mark_%d_%d"):format(os.time(), math.random(1, 1 << 40))
    local source = [[
        test("a", function(t)
            local a, b = provium:vm("a", "default"), provium:vm("b", "default")
            provium:boot()
            a:write_file("/tmp/x", "")
            a:run("setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
            b:run("true")
            %s
        end)
    ]]
    local dir = inner.directory(t)
    os.execute("mkdir " .. inner.quote(dir .. "/tmp"))
    local env = ("MARK=%s TMPDIR=%s/tmp XDG_CACHE_HOME=%s/cache "):format(mark, inner.quote(dir), inner.quote(dir))
    local ended = inner.run(t, {["x.test.lua"] = source:format("a:shutdown()")}, "--vmm local --sandbox off x.test.lua",
        {dir = dir, env = NOTHING .. env})
    t:assert_eq(ended.code, 0)
    wait_until(function() return #inner.survivors(mark) == 0 end, {timeout = 20, desc = "end of all processes"})

    inner.write(dir .. "/y.test.lua", source:format('os.execute("touch ready") a:run("sleep 1000")'))
    os.execute(("cd %s && env %s %s %s --vmm local --sandbox off y.test.lua >/dev/null 2>&1 & echo $! >%s/pid"):format(
        inner.quote(dir), NOTHING, env, inner.quote(inner.binary()), inner.quote(dir)))
    wait_until(function() return inner.read_if_any(dir .. "/ready") ~= "" or io.open(dir .. "/ready") end, {timeout = 30})
    os.execute("kill -9 " .. inner.read(dir .. "/pid"))
    wait_until(function() return #inner.survivors(mark) == 0 end, {timeout = 20, desc = "end of all processes, killed"})
    t:assert_eq(inner.output(("ls -A %s/tmp"):format(inner.quote(dir))), "")
end)

test("doctor looks for no hypervisor then", function(t)
    local result = inner.run(t, {}, "doctor --vmm local --boot --json", {env = NOTHING})
    t:assert_eq(result.out:find('"check":"hypervisor"', 1, true), nil)
    t:assert_eq(result.out:find('"check":"kvm"', 1, true), nil)
    t:assert(result.out:find('{"check":"boot","status":"ok"[^\n]*without a machine'))
    t:assert_contains(inner.run(t, {}, "doctor --json", {env = NOTHING}).out, '{"check":"hypervisor","status":"fail"')
end)
