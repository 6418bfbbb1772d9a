-- What snapshots and restores cost, as ratios: run by hand, on a quiet machine, with
--     provium --config tests/e2e/provium.toml tests/bench/snapshot.test.lua
-- Results are in the tests' logs, printed by the last test, which fails for that purpose.

local lines = {}

local function now()
    local pipe = io.popen("date +%s%N")
    local ns = math.tointeger(tonumber(pipe:read("l")))
    pipe:close()
    return ns
end

-- Milliseconds; the clock itself takes two.
local function timed(fn)
    local start = now()
    fn()
    return (now() - start) / 1e6 - 2
end

local function median(n, fn)
    local all = {}
    for i = 1, n do all[i] = fn() end
    table.sort(all)
    return all[(n + 1) // 2]
end

local function note(text, ...) lines[#lines + 1] = text:format(...) end

local function pss(vm)
    local pipe = io.popen(([[for p in /proc/[0-9]*; do
        tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q '^[^ ]*qemu-system.* provium-%s ' && awk '/^Pss:/ {print $2}' $p/smaps_rollup; done]]):format(vm:name()))
    local kilobytes = tonumber(pipe:read("l"))
    pipe:close()
    return kilobytes / 1024
end

for _, memory in ipairs{"256M", "1G", "4G"} do
    test("memory " .. memory, function(t)
        local vm = provium:vm("v" .. memory, "default", {memory = memory})
        local cold = timed(function() vm:boot(); vm:run("true"):assert_ok() end)
        local snap
        local save = timed(function() snap = vm:snapshot() end)
        local run
        local hit = median(7, function()
            vm:shutdown()
            local restore = timed(function() vm:restore(snap) end)
            run = timed(function() vm:run("true"):assert_ok() end)
            return restore + run
        end)
        local again = timed(function() vm:snapshot():delete() end)
        note("%s: cold boot to run(\"true\") %.0f ms, restore to run %.0f ms (1/%.1f; the run %.0f ms), snapshot %.0f ms, of the "
            .. "restored %.0f ms", memory, cold, hit, cold / hit, run, save, again)
    end)
end

test("ten machines from one snapshot", function(t)
    local vm = provium:vm("origin", "default"):boot()
    vm:run("true"):assert_ok()
    local snap = vm:snapshot()
    vm:shutdown()
    local one = timed(function() provium:vm("one", "default"):restore(snap) end)
    local clones = {}
    local all = timed(function()
        for i = 1, 10 do clones[i] = provium:vm("clone" .. i, "default"):restore(snap) end
    end)
    local total = 0
    for _, clone in ipairs(clones) do total = total + pss(clone) end
    note("10 clones one after the other: %.0f ms, one %.0f ms; %.1f MiB each (PSS) of 512", all, one, total / 10)
end)

test("results", function()
    error("\n" .. table.concat(lines, "\n"), 0)
end)
