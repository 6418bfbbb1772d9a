-- A distribution's kernel and its own initramfs: the agent passes from the initramfs into the systemd root.
local vm = provium:vm("debian", "distribution", {memory = "1G", agent_timeout = "60s"})

test("the agent answers in the initramfs, and in the root after switch_root", {timeout = "4m"}, function(t)
    vm:boot()
    t:assert_contains(vm:read_file("/proc/cmdline"), "boot=provium")
    local before = vm:syscall(39).ret
    wait_until(function() return vm:read_file("/proc/1/comm") == "systemd\n" end,
        {timeout = 180, interval = 1, desc = "systemd as process 1"})
    t:assert_contains(vm:read_file("/etc/os-release"), "Debian")
    t:assert_contains(vm:read_file("/proc/1/cmdline"), "init")
    t:assert(not pcall(vm.stat, vm, "/root.tar.gz"), "this is the new root")
    t:assert_eq(vm:syscall(39).ret, before, "the agent's processes have survived")
end)

test("systemd comes up and does not mind the agent", {timeout = "4m"}, function(t)
    wait_until(function()
        local state = vm:run({"systemctl", "is-system-running"}).stdout
        return state == "running\n" or state == "degraded\n"
    end, {timeout = 200, interval = 2, desc = "systemd's start-up"})
    t:assert_eq(vm:run("systemctl is-active basic.target").stdout, "active\n")
    vm:run("systemctl start systemd-tmpfiles-clean.service", {timeout = 100}):assert_ok()
    t:assert_contains(vm:run("cat /proc/$PPID/cmdline").stdout, "@")
end)

test("the guest API as anywhere: processes, files, streams, workers, kernel calls", {timeout = "2m"}, function(t)
    vm:write_file("/run/x", "data")
    t:assert_eq(vm:run("cat /run/x; id -un", {user = "nobody"}).stdout, "datanobody\n")
    local tail = vm:tail_file("/run/x", {start = 0})
    vm:run("echo more >>/run/x"):assert_ok()
    t:assert_eq(tail:read_until("more", "30s"), "datamore")
    local p = vm:run_async({"sleep", "1000"})
    t:assert(vm:stat("/proc/" .. p:pid()))
    p:kill()
    t:assert_eq(p:wait("30s").signal, 15)
    local w = vm:spawn_worker()
    t:assert_eq(w:syscall(105, 1).ret, 0)
    t:assert_eq(w:run("id -un").stdout, "daemon\n")
    t:assert_eq(vm:syscall(102).ret, 0)
end)

test("daemon-reexec, then an orderly end", {timeout = "4m"}, function(t)
    vm:run("systemctl daemon-reexec", {timeout = 100}):assert_ok()
    t:assert_eq(vm:run("echo still here").stdout, "still here\n")
    pcall(vm.run, vm, "systemctl poweroff", {timeout = 60})
    wait_until(function() return vm:state() == "shutdown" end, {timeout = 150, interval = 1})
end)
