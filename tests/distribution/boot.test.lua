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
    t:assert(not pcall(vm.stat, vm, "/root.tar"), "this is the new root")
    t:assert_eq(vm:syscall(39).ret, before, "the agent's processes have survived")
end)

test("systemd comes up whole and does not mind the agent", {timeout = "4m"}, function(t)
    wait_until(function()
        local state = vm:run({"systemctl", "is-system-running"}).stdout
        return state == "running\n" or state == "degraded\n"
    end, {timeout = 200, interval = 2, desc = "systemd's start-up"})
    t:assert_eq(vm:run("systemctl is-system-running; systemctl --failed --plain --no-legend").stdout, "running\n")
    t:assert_eq(vm:run("systemctl list-units --all --plain --no-legend --type=service,socket,timer,mount; " ..
        "systemctl list-unit-files --no-legend").stdout:find("provium"), nil)
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

test("daemon-reexec", {timeout = "2m"}, function(t)
    vm:run("systemctl daemon-reexec", {timeout = 100}):assert_ok()
    t:assert_eq(vm:run("echo still here").stdout, "still here\n")
end)

test("the power button is systemd's to answer: services stop, file systems are unmounted", {timeout = "3m"}, function(t)
    vm:run("systemctl start systemd-logind.service && udevadm settle", {timeout = 60}):assert_ok()
    wait_until(function() return vm:run("journalctl -b -u systemd-logind.service").stdout:find("Power Button") end,
        {timeout = 60, desc = "logind to watch the button"})
    vm:power_button()
    t:assert_eq(vm:state(), "shutdown")
    local log = vm:console():read_log()
    t:assert_contains(log, "systemd-shutdown[1]: ")
    t:assert_contains(log, "reboot: Power down")
end)
