-- The VM userdata: identity, arguments, boot options, failed boots.
local inner = require("helpers.inner")
local vm = provium:vm("box", "default"):boot()

test("one userdata per VM; methods are plain functions", function(t)
    t:assert(provium:vm("box") == vm and provium.box == vm)
    t:assert_eq(vm:name(), "box")
    t:assert_eq(vm:profile(), "default")
    t:assert_contains(tostring(vm), 'vm "box" (provium#')
    t:assert_neq(tostring(vm), tostring(provium:vm("second", "default")))
    local ok, text = pcall(vm.read_file, vm, "/proc/version")
    t:assert(ok and text:find("Linux"))
    t:assert_contains(t:assert_raises(function() vm:read_file("/a\0b") end), "NUL byte")
    t:assert_contains(t:assert_raises(function() vm:run({"a", "b\0"}) end), "NUL byte")
    t:assert_contains(t:assert_raises(function() vm:run("x", {env = {A = "\0"}}) end), "NUL byte")
end)

test("what is open on a VM is counted", function(t)
    t:assert_eq(vm:is_quiescent(), true)
    local file = vm:open_file("/etc/passwd", {read = true})
    t:assert_eq(vm:open_file_count(), 1)
    t:assert_eq(vm:is_quiescent(), false)
    file:close()
    t:assert_eq(vm:open_file_count(), 0)
    local tail, console = vm:tail_file("/etc/passwd"), vm:console():read()
    local out = vm:run_async({"sleep", "100"}):stdout_stream()
    t:assert_eq(vm:open_stream_count(), 3)
    t:assert_eq(provium:vm("none", "default"):open_stream_count(), 0)
    tail:close()
    console:close()
    out:close()
    t:assert_eq(vm:open_stream_count(), 0)
    t:assert_eq(vm:is_quiescent(), true)
    local pending = vm:syscall_async(35, {bufs = {string.pack("<I8I8", 0, 300000000)}, ptrs = {0}}) -- nanosleep
    wait_until(function() return vm:is_quiescent() end, {timeout = 60})
    pending:await("60s")
end)

test("boot options of lab:vm and boot: each key replaces as a whole", function(t)
    local other = provium:vm("other", "default", {
        memory = "300M", cpus = 2, kernel_cmdline = "console=ttyS0 quiet panic=-1 first=1",
        kernel_cmdline_append = "more=1", agent_timeout = "100s",
        files = {{path = "/a", content = "1"}, {path = "/a", content = "2", mode = 384}},
    })
    other:boot({memory = 200 << 20, files = {{path = "/b/c", content = "3"}}})
    t:assert_contains(other:read_file("/proc/cmdline"), "first=1 more=1")
    t:assert_eq(other:run("nproc").stdout, "2\n")
    local total = tonumber(other:read_file("/proc/meminfo"):match("MemTotal:%s+(%d+)"))
    t:assert(total < 200 * 1024 and total > 120 * 1024, total)
    t:assert_contains(t:assert_raises(function() other:stat("/a") end), "ENOENT")
    t:assert_eq(other:stat("/b").perm, 493)
    other:shutdown()
    other:boot()
    t:assert_eq(other:read_file("/a"), "2")
    t:assert_eq(other:stat("/a").perm, 384)
    other:shutdown()
    t:assert(other:cid() ~= vm:cid())
end)

test("mistakes in boot options are named", function(t)
    local other = provium:vm("other", "default")
    local cases = {
        [{memroy = 1}] = 'unknown key "memroy" (accepted: ',
        [{memory = 0}] = "memory must not be 0",
        [{memory = "much"}] = "much",
        [{cpus = 0}] = "cpus must be 1 to",
        [{agent_timeout = -1}] = "agent_timeout",
        [{initial_time = 0 / 0}] = "initial_time",
        [{rng_seed = 1.5}] = "rng_seed must be an integer",
        [{kernel_cmdline = 5}] = "kernel_cmdline must be a string",
        [{files = {{path = "relative", content = ""}}}] = "relative",
        [{files = {{path = "/a/../b", content = ""}}}] = "..",
        [{files = {{content = "no path"}}}] = "files[1] has no path",
        [{files = {{path = "/a", mode = 4096}}}] = "mode must be 0 to 4095",
    }
    for opts, message in pairs(cases) do
        t:assert_contains(t:assert_raises(function() other:boot(opts) end), message)
        t:assert_contains(t:assert_raises(function() provium:vm("bad", "default", opts) end), message)
    end
    t:assert_eq(other:state(), "created")
end)

test("rng_seed: random numbers depend on the seed alone", {timeout = "4m"}, function(t)
    local function draw(name, seed)
        local guest = provium:vm(name, "default", {rng_seed = seed}):boot()
        local r = guest:syscall(318, {args = {0, 64}, bufs = {("\0"):rep(64)}, ptrs = {0}}) -- getrandom
        t:assert_eq(r.ret, 64)
        t:assert(math.abs(guest:clock():get() - os.time()) < 60)
        local drawn = {kernel = r.out_bufs[1]}
        if guest:run("modprobe virtio_rng; test -e /dev/hwrng").exit_code == 0 then
            drawn.device = guest:run("head -c 64 /dev/hwrng"):assert_ok().stdout
            t:assert_eq(#drawn.device, 64)
        end
        return drawn, guest
    end
    local a, guest = draw("a", 7)
    local deterministic = guest:read_file("/proc/cmdline"):find("provium.rng_seed=7", 1, true)
    local snap = guest:snapshot()
    guest:shutdown()
    t:assert_eq(guest:restore(snap):run("echo on").stdout, "on\n")
    guest:shutdown()
    local b, other = draw("b", 7)
    other:shutdown()
    local c = draw("c", -7)
    for what, bytes in pairs(a) do
        if what == "device" or deterministic then -- else there is KVM, and no saying what the kernel draws
            t:assert(b[what] == bytes, what)
            t:assert(c[what] ~= bytes, what)
        end
    end
end)

test("a guest that panics says so, whenever it does", {timeout = "2m"}, function(t)
    local panic = provium:vm("panic", "default", {kernel_cmdline_append = "panic=0",
        files = {{path = "/init", mode = 493, content = "#!/bin/sh\nexit 1\n"}}})
    local message = t:assert_raises(function() panic:boot({agent_timeout = 60}) panic:run("sleep 60") end)
    t:assert_contains(message, "kernel panic: ")
    t:assert_contains(message, "Attempted to kill init")
    t:assert_eq(panic:state(), "dead")
end)

test("after a failed boot the console goes on; the next boot begins a new one", {timeout = "4m"}, function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.mute]\nkernel = "@bundled"\ninitrd = "@bundled"\ninject_agent = false\n' ..
            'cmdline = "console=ttyS0 quiet panic=-1 rdinit=/sbin/mute"\n',
        ["x.test.lua"] = [[
            test("mute", function(t)
                local mute = provium:vm("mute", "mute", {agent_timeout = 5, files = {{path = "/sbin/mute", mode = 493,
                    content = "#!/bin/sh\necho READY\nread line </dev/console\necho got $line\nexec sleep 1000\n"}}})
                t:assert_eq(mute:console():read_log(), "")
                t:assert_contains(t:assert_raises(function() mute:console():read() end), "call vm:boot() first")
                local message = t:assert_raises(function() mute:boot() end)
                t:assert_contains(message, 'vm "mute": boot: the agent did not answer within ')
                t:assert_eq(mute:state(), "dead")
                mute:console():expect("READY", "60s")
                mute:console():write("typed\n")
                mute:console():expect("got typed", "60s")
                t:assert_raises(function() mute:boot() end)
                local log = mute:console():read_log()
                t:assert_contains(log, "got typed", "the log is of all boots")
                t:assert_contains(t:assert_raises(function() mute:console():expect("got typed", 0) end), "timed out")
                mute:shutdown()
                t:assert_contains(t:assert_raises(function() mute:console():expect("never", "60s") end), "the console has ended")
                t:assert_contains(t:assert_raises(function() mute:console():write("x") end), "console")
            end)]]}, "x.test.lua")
    t:assert_eq(result.code, 0)
end)

test("a button that the guest ignores, a suspension that is not there", {timeout = "3m"}, function(t)
    t:assert_contains(t:assert_raises(function() vm:wakeup() end), 'vm "box": wakeup')
    t:assert_eq(vm:state(), "booted")
    local deaf = provium:vm("deaf", "default", {files = {
        {path = "/init", mode = 493, content = "#!/bin/sh\nwhile :; do sleep 1000; done\n"}}}):boot()
    local message = t:assert_raises(function() deaf:power_button() end)
    t:assert_contains(message, 'vm "deaf": power_button')
    t:assert_eq(deaf:state(), "booted")
    deaf:run("true"):assert_ok()
end)
