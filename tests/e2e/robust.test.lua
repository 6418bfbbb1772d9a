-- Whatever goes on in the guest, the agent answers; whatever the guest sends, the runner survives.
local inner = require("helpers.inner")
local vm = provium:vm("box", "default"):boot()

-- Several calls of different kinds, while `what` goes on.
local function answers(t, what)
    t:assert_eq(vm:stat("/").entry_type, "directory", what)
    t:assert_eq(vm:syscall(39).errno, 0, what)
    t:assert_eq(vm:run("echo x", {timeout = 60}).stdout, "x\n", what)
end

test("64 streams are open and unread", {timeout = "2m"}, function(t)
    vm:run("head -c 8000000 /dev/zero >/tmp/big"):assert_ok()
    for _ = 1, 64 do vm:tail_file("/tmp/big", {start = 0, window = "64K"}) end
    answers(t, "64 streams")
    t:assert_eq(vm:open_stream_count(), 64)
end)

test("a process prints 1 GB", {timeout = "5m"}, function(t)
    local p = vm:run_async("head -c 1000000000 /dev/zero", {max_output = "1M"})
    local n = 0
    while p:status().running and n < 20 do
        answers(t, "1 GB")
        n = n + 1
    end
    local r = p:wait("4m")
    t:assert_eq(r.exit_code, 0)
    t:assert_eq(#r.stdout, 1 << 20)
    t:assert(r.truncated)
    t:assert(collectgarbage("count") < 200 << 10, "the host kept what was asked for")
end)

test("a FIFO read blocks", function(t)
    vm:run("mkfifo /tmp/blocked"):assert_ok()
    local file = vm:open_file("/tmp/blocked", {read = true, write = true})
    local pending = vm:syscall_async(0, {args = {file:fd(), 0, 1}, bufs = {"x"}, ptrs = {1}})
    local command = vm:run_async("cat /tmp/blocked")
    local stream = vm:fd_stream(file)
    answers(t, "a blocked read")
    command:kill("kill")
    command:wait("60s")
    stream:close()
    file:write("y")
    t:assert_eq(pending:await("60s").out_bufs[1], "y")
end)

test("a worker is stopped", function(t)
    local w = vm:spawn_worker()
    vm:run("kill -STOP " .. w:pid()):assert_ok()
    local message = t:assert_raises(function()
        local p = w:syscall_async(39)
        answers(t, "a stopped worker")
        p:await("300ms")
    end)
    t:assert_contains(message, "timed out")
    vm:run("kill -CONT " .. w:pid()):assert_ok()
    t:assert_eq(w:syscall(39).ret, w:pid())
end)

test("500 processes run", {timeout = "4m"}, function(t)
    local list = {}
    for i = 1, 500 do list[i] = vm:run_async({"sleep", "1000"}) end
    answers(t, "500 processes")
    for _, p in ipairs(list) do p:kill("kill") end
    for _, p in ipairs(list) do t:assert_eq(p:wait("60s").signal, 9) end
end)

test("the root file system is full, or read-only", function(t)
    vm:run("dd if=/dev/zero of=/fill bs=1M count=20 2>/dev/null; mount -t tmpfs -o size=1m none /mnt; dd if=/dev/zero of=/mnt/x bs=1M count=2 2>/dev/null")
    t:assert_contains(t:assert_raises(function() vm:write_file("/mnt/y", ("x"):rep(10000)) end), "ENOSPC")
    answers(t, "a full file system")
    vm:unlink("/fill")
    vm:run("mount -o remount,ro /mnt"):assert_ok()
    t:assert_contains(t:assert_raises(function() vm:write_file("/mnt/z", "x") end), "EROFS")
    if vm:run("mount -o remount,ro /").exit_code == 0 then
        t:assert_contains(t:assert_raises(function() vm:write_file("/z", "x") end), "EROFS")
        answers(t, "a read-only root")
        vm:run("mount -o remount,rw /"):assert_ok()
    end
end)

test("memory is exhausted", {timeout = "3m"}, function(t)
    local eater = vm:run_async("tail /dev/zero")
    local n = 0
    repeat
        answers(t, "no memory")
        n = n + 1
    until not eater:status().running or n == 1000
    t:assert_neq(eater:wait("2m").exit_code, 0)
    answers(t, "after it")
end)

---------------------------------------------------------------------------------------------------- hostile guests

local MARK = "\xc1provium-agent\r\n"
local function frame(payload) return string.pack(">s4", payload) end
-- {id: 0, event: "agent", value: {version: 1}}, as an agent announces itself
local ANNOUNCE = MARK .. frame("\x83\xa2id\x00\xa5event\xa5agent\xa5value\x81\xa7version\x01")
-- {id: 7, outcome: "ok", value: {}}
local ANSWER = frame("\x83\xa2id\x07\xa7outcome\xa2ok\xa5value\x80")
local OVERSIZED = "\xff\xff\xff\xff" .. ("x"):rep(100000)

-- Sends bytes down the channel from the agent's own descriptor, which kernel calls take out of it (pidfd_open,
-- pidfd_getfd); then waits for what comes of it.
local function send_as_agent(bytes)
    local agent = tonumber(vm:run("echo $PPID").stdout)
    local fd = vm:run(("ls -l /proc/%d/fd | sed -n 's|.* \\([0-9]*\\) -> /dev/vport.*|\\1|p'"):format(agent)).stdout
    local pidfd = vm:syscall(434, agent, 0).ret
    local port = vm:syscall(438, pidfd, tonumber(fd), 0).ret
    assert(port > 2, "the agent's port")
    vm:syscall(1, {args = {port, 0, #bytes}, bufs = {bytes}, ptrs = {1}})
    vm:run("sleep 30")
end

test("frames that nobody asked for, of any size, malformed: the channel is closed with a name", {timeout = "4m"}, function(t)
    for bytes, reason in pairs{
        [OVERSIZED] = "a malformed frame",
        [ANSWER] = "a message for call 7, which is not in flight",
        [frame("\xc1")] = "a malformed frame",
        [frame("\x82\xa2id\x07\xa6cancel\xc3")] = "agent",
    } do
        local message = t:assert_raises(function() send_as_agent(bytes) end)
        t:assert_contains(message, 'vm "box": ')
        t:assert_contains(message, reason)
        t:assert_eq(vm:state(), "dead")
        vm:boot()
        answers(t, "the next boot")
    end
end)

test("another program at the agent's port: the boot fails by name", {timeout = "3m"}, function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.hostile]\nkernel = "@bundled"\ninitrd = "@bundled"\ninject_agent = false\n' ..
            'cmdline = "console=ttyS0 quiet panic=-1 rdinit=/sbin/hostile"\n',
        ["bytes"] = ANNOUNCE .. OVERSIZED .. ANNOUNCE .. ANSWER:rep(1000) .. ("garbage \0\255"):rep(1000),
        ["x.test.lua"] = [[
            local bytes = io.open("bytes", "rb"):read("a")
            test("hostile", function(t)
                local vm = provium:vm("evil", "hostile", {agent_timeout = 15, files = {
                    {path = "/bytes", content = bytes},
                    {path = "/sbin/hostile", mode = 493, content = "#!/bin/sh\nexport PATH=/bin:/sbin:/usr/bin:/usr/sbin\n" ..
                        "mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n" ..
                        "modprobe virtio_pci; modprobe virtio_console\n" ..
                        "until port=$(ls /dev/vport*p1); do sleep 0.1; done; echo HOSTILE $port >/dev/console\n" ..
                        "exec 3<>$port; while :; do cat /bytes >&3; done\n"}}})
                t:assert_contains(t:assert_raises(function() vm:boot() end), 'vm "evil": boot: the agent did not answer within')
                t:assert_contains(vm:console():read_log(), "HOSTILE /dev/vport")
                t:assert(collectgarbage("count") < 50 << 10)
            end)
            test("another machine is untouched", function(t)
                t:assert_eq(provium:vm("good", "default"):boot():run("echo fine").stdout, "fine\n")
            end)]]}, "--json x.test.lua")
    t:assert_eq(result.code, 0)
end)
