-- Two hundred resets in a row leave nothing behind: no memory, descriptor, process or file of the runner.
provium.reset_between_tests = true

local vm = provium:vm("a", "default", {memory = "128M"}):boot()
provium:bridge("lan"):attach(vm)
local file = vm:open_file("/tmp/log", {read = true, write = true, create = true})
local worker = vm:spawn_worker()
local process = vm:run_async("sleep 10000")

local function count(command)
    local pipe = io.popen(command)
    local n = tonumber((pipe:read("a"):match("%d+")))
    pipe:close()
    return n
end

-- What this file's process has: io.popen's shell is its child.
local function usage()
    return {descriptors = count("ls /proc/$PPID/fd | wc -l"), children = count("cat /proc/$PPID/task/*/children | wc -w"),
            kilobytes = count("grep VmRSS /proc/$PPID/status"),
            files = count([[d=$(readlink /proc/$PPID/fd/* | grep provium-snapshots- | head -n 1); find "$d" -type f | wc -l]])}
end

-- The address sanitizer keeps what was freed, up to 256 MiB.
local SANITIZED = count("grep -c libasan /proc/$PPID/maps") > 0
local RESETS = tonumber(os.getenv("PROVIUM_RESETS") or 20)
local early
for i = 1, RESETS + 1 do
    test(("reset %d"):format(i), function(t)
        vm:write_file("/tmp/x", ("x"):rep(100000))
        file:write("x")
        worker:run("true"):assert_ok()
        if i == math.min(10, RESETS) then early = usage() end
        if i <= RESETS then return end
        local late = usage()
        t:log(json.encode({early, late}))
        for key, n in pairs(late) do
            local slack = key ~= "kilobytes" and 0 or SANITIZED and 256 * 1024 or 4096
            t:assert(n <= early[key] + slack, ("%s: %d, after %d resets %d"):format(key, early[key], RESETS, n))
        end
    end)
end
