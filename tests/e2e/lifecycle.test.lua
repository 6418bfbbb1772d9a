-- States of a VM, what ends it, and how that is told.

test("created, booted, paused, shutdown", function(t)
    local vm = provium:vm("a", "default")
    t:assert_eq(vm:state(), "created")
    t:assert_eq(vm:cid(), nil)
    t:assert_contains(t:assert_raises(function() vm:run("true") end), 'vm "a": run "true": VM is created; call vm:boot() first')
    t:assert_contains(t:assert_raises(function() vm:reset() end), 'vm "a": reset: VM is created; call vm:boot() first')
    t:assert_eq(vm:boot(), vm)
    t:assert_eq(vm:state(), "booted")
    t:assert(vm:cid() >= 3)
    t:assert_contains(t:assert_raises(function() vm:boot() end), "VM is booted already")
    vm:pause()
    t:assert_eq(vm:state(), "paused")
    t:assert_contains(t:assert_raises(function() vm:run("true") end), "VM is paused; call vm:resume() first")
    vm:resume()
    vm:run("true"):assert_ok()
    vm:shutdown()
    vm:shutdown()
    t:assert_eq(vm:state(), "shutdown")
end)

test("reset begins anew", function(t)
    local vm = provium:vm("a", "default"):boot()
    vm:write_file("/tmp/mark", "x")
    vm:reset()
    t:assert_eq(vm:state(), "booted")
    t:assert_contains(t:assert_raises(function() vm:read_file("/tmp/mark") end), "ENOENT")
end)

test("a guest that reboots itself is waited for", function(t)
    local vm = provium:vm("a", "default"):boot()
    vm:write_file("/tmp/mark", "x")
    pcall(vm.run, vm, "reboot -f", {timeout = 30})
    wait_until(function() return pcall(vm.stat, vm, "/proc/1") and not pcall(vm.stat, vm, "/tmp/mark") end,
        {timeout = 60, desc = "the second boot"})
    t:assert_eq(vm:state(), "booted")
end)

-- As soon as the guest sleeps.
local function wake(vm)
    wait_until(function()
        local ok, message = pcall(vm.wakeup, vm)
        if not ok and not tostring(message):find("the guest is not suspended", 1, true) then error(message, 0) end
        return ok
    end, {timeout = 60, desc = "suspended and woken"})
end

local function sleep_and_wake(t, vm)
    local sleeper = vm:run_async("echo mem >/sys/power/state; echo woken")
    wake(vm)
    t:assert_eq(sleeper:wait().stdout, "woken\n")
    vm:run("sha256sum -c /tmp/sum"):assert_ok()
    t:assert_eq(vm:run("dmesg | grep -c 'Waking up from system sleep state S3'").stdout, vm:read_file("/tmp/sleeps"))
end

test("a guest that suspended itself wakes with its memory, restored or not, or is reset", {timeout = "3m"}, function(t)
    local vm = provium:vm("a", "default"):boot()
    t:assert_contains(t:assert_raises(function() vm:wakeup() end), 'vm "a": wakeup: the guest is not suspended')
    vm:run("head -c 2000000 /dev/urandom >/tmp/blob; sha256sum /tmp/blob >/tmp/sum"):assert_ok()
    local process = vm:run_async("read line; echo got $line")
    vm:write_file("/tmp/sleeps", "1\n")
    sleep_and_wake(t, vm)
    process:stdin_write("this\n")
    t:assert_eq(process:wait().stdout, "got this\n", "a process from before goes on")
    t:assert(math.abs(vm:clock():get() - os.time()) < 60)

    local snapshot = vm:snapshot()
    vm:shutdown()
    vm:restore(snapshot)
    vm:write_file("/tmp/sleeps", "2\n")
    sleep_and_wake(t, vm)

    local sleeper <const> = vm:run_async("echo mem >/sys/power/state")
    local raised
    wait_until(function()
        local ok, answer = pcall(vm.snapshot, vm)
        raised = not ok and tostring(answer)
        return raised
    end, {timeout = 60})
    t:assert_contains(raised, 'vm "a": snapshot: the guest has suspended itself; call vm:wakeup() first')
    t:assert_contains(t:assert_raises(function() vm:read_file("/tmp/sum") end), "the guest has suspended itself")
    vm:reset()
    t:assert_contains(t:assert_raises(function() vm:read_file("/tmp/sum") end), "ENOENT")
end)

test("the power button powers off in order", function(t)
    local vm = provium:vm("a", "default"):boot()
    vm:power_button()
    t:assert_eq(vm:state(), "shutdown")
    vm:boot()
    vm:run("true"):assert_ok()
end)

test("a guest that powers itself off is shut down, not dead", function(t)
    local vm = provium:vm("a", "default"):boot()
    pcall(vm.run, vm, "poweroff -f", {timeout = 30})
    wait_until(function() return vm:state() == "shutdown" end, {timeout = 30})
end)

test("QEMU killed: the VM is dead and says how", function(t)
    local vm = provium:vm("kill me", "default"):boot()
    os.execute([[for p in /proc/[0-9]*; do
        tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^[^ ]*qemu-system.*provium-kill me' && kill -9 $(awk '/^NSpid:/ {print $NF}' $p/status); done]])
    local message = t:assert_raises(function() vm:run("sleep 20") end)
    t:assert_contains(message, "QEMU was killed by SIGKILL")
    t:assert_eq(vm:state(), "dead")
    t:assert_contains(t:assert_raises(function() vm:run("true") end), "VM is dead (QEMU was killed by SIGKILL")
end)

test("a panic text that the guest only prints kills nobody", function(t)
    local vm = provium:vm("a", "default"):boot()
    vm:run("echo 'Kernel panic - not syncing: just kidding' >/dev/console"):assert_ok()
    vm:console():expect("just kidding")
    vm:run("sleep 2; true"):assert_ok()
    t:assert_eq(vm:state(), "booted")
end)

test("several machines boot together", function(t)
    local lab = provium:lab("pair")
    lab:vm("a", "default")
    lab:vm("b", "default", {memory = "256M", cpus = 2})
    lab:boot()
    t:assert_eq(lab.a:run("nproc").stdout, "1\n")
    t:assert_eq(lab.b:run("nproc").stdout, "2\n")
    t:assert(tonumber(lab.b:read_file("/proc/meminfo"):match("MemTotal:%s+(%d+)")) < 260000)
    t:assert_eq(table.concat(lab:vm_names(), ","), "a,b")
    lab:pause()
    lab:resume()
    lab:shutdown()
    t:assert_eq(lab.a:state(), "shutdown")
end)

test("boot options: command line, files, time", function(t)
    local vm = provium:vm("a", "default", {
        kernel_cmdline_append = "provium.test=yes",
        initial_time = 1000000000.5,
        files = {
            {path = "/etc/with space/ünï", content = "one\0two"},
            {path = "/usr/bin/tool", content = "#!/bin/sh\necho tool\n", mode = 493},
        },
    })
    vm:boot({kernel_cmdline_append = "provium.test=no"})
    t:assert_contains(vm:read_file("/proc/cmdline"), "provium.test=no")
    t:assert_eq(vm:read_file("/etc/with space/ünï"), "one\0two")
    t:assert_eq(vm:stat("/etc/with space/ünï").perm, 420)
    t:assert_eq(vm:run("tool"):assert_ok().stdout, "tool\n")
    local now = vm:clock():get()
    t:assert(now >= 1000000000.5 and now < 1000000100, now)
end)

test("scopes: names of the file are seen, not shadowed", function(t)
    local name = "local " .. t.name:len()
    provium:vm(name, "default")
    t:assert_eq(provium[name]:name(), name)
    t:assert_contains(t:assert_raises(function() provium:vm(name, "default") end), "DuplicateVmName")
    t:assert_contains(t:assert_raises(function() provium:vm("none") end), 'no vm "none"')
    t:assert_contains(t:assert_raises(function() provium:vm("x", "nope") end), "profile `nope` not found; known: default")
    t:assert_eq(provium.none, nil)
end)
