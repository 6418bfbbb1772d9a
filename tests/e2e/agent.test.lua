-- The agent inside of the guest: its channels, its place beside an init, and its end.

test("without virtio the second serial line serves", function(t)
    local vm = provium:vm("isa", "default", {kernel_cmdline_append = "module_blacklist=virtio_console"}):boot()
    t:assert_eq(vm:run("echo over serial").stdout, "over serial\n")
    t:assert(not vm:run("lsmod"):assert_ok().stdout:find("virtio_console"))
    local data = ("0123456789abcdef"):rep(4096)
    vm:write_file("/tmp/x", data)
    t:assert(vm:read_file("/tmp/x") == data)
end)

test("the guest's own init is process 1", function(t)
    local vm = provium:vm("own", "default", {files = {
        {path = "/init", mode = 493, content = "#!/bin/sh\necho init runs >/dev/console\nexec sleep 100000\n"}}}):boot()
    vm:console():expect("init runs")
    wait_until(function() return vm:read_file("/proc/1/comm") == "sleep\n" end, {desc = "init as process 1"})
    t:assert_contains(vm:read_file("/proc/mounts"), "proc /proc proc")
    local agent = vm:run("cat /proc/$PPID/cmdline").stdout
    t:assert_eq(agent:sub(1, 1), "@", "systemd spares processes whose name begins so")
end)

test("without an init the agent stays process 1 and reaps", function(t)
    local vm = provium:vm("alone", "default"):boot()
    vm:run("(sleep 0.1 &) ; (true &)"):assert_ok()
    wait_until(function() return not vm:run("cat /proc/*/stat 2>/dev/null").stdout:find("%) Z ") end, {desc = "no zombies"})
    t:assert_contains(vm:run("cat /proc/1/cmdline").stdout, "provium-agent")
end)

test("after a switch_root the agent sees the new root", function(t)
    local vm = provium:vm("switch", "default", {files = {
        {path = "/init", mode = 493, content = [[#!/bin/sh
mkdir /new
mount -t tmpfs none /new
mkdir -p /new/bin /new/proc /new/sys /new/dev /new/run /new/tmp
cp /bin/busybox /new/bin/busybox
ln -s busybox /new/bin/sh
echo new root >/new/marker
for d in proc sys dev run; do mount --move /$d /new/$d; done
exec switch_root /new /bin/busybox sleep 100000
]]}}}):boot()
    wait_until(function() return pcall(vm.stat, vm, "/marker") end, {timeout = 30, desc = "the new root"})
    t:assert_eq(vm:read_file("/marker"), "new root\n")
    t:assert_eq(vm:run("/bin/busybox cat /marker").stdout, "new root\n")
    t:assert(not pcall(vm.stat, vm, "/etc/udhcpc"))
end)

test("an agent that is killed is a dead VM, at once and by name", function(t)
    local vm = provium:vm("lost", "default", {files = {
        {path = "/init", mode = 493, content = "#!/bin/sh\nexec sleep 100000\n"}}}):boot()
    local message = t:assert_raises(function() vm:run("kill -9 $PPID; sleep 20", {timeout = 25}) end)
    t:assert_contains(message, "agent")
    t:assert_eq(vm:state(), "dead")
    vm:boot()
    vm:run("true"):assert_ok()
end)

test("a command that eats all memory does not take the agent along", {timeout = "2m"}, function(t)
    local vm = provium:vm("full", "default", {memory = "256M"}):boot()
    vm:run("tail /dev/zero", {timeout = 60})
    vm:run("true"):assert_ok()
    t:assert_eq(vm:state(), "booted")
end)

test("a FIFO that nobody writes to blocks only its reader", {timeout = "1m"}, function(t)
    local vm = provium:vm("fifo", "default"):boot()
    vm:run("mkfifo /tmp/fifo"):assert_ok()
    t:assert(not pcall(function() vm:run("cat /tmp/fifo", {timeout = "300ms"}):assert_ok() end))
    vm:run("true"):assert_ok()
end)
