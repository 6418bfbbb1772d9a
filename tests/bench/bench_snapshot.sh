#!/bin/sh
# Snapshots, restores and fixtures in figures, each against its floor, all in one run: medians of N (default 7).
#
#   PROVIUM=build/release/bin/provium tests/bench/bench_snapshot.sh [N] [PART…]
#
# Parts: floor hit sizes host many save reset; all without any. On a machine that does something else, machines started
# ahead of need compete with that: `always` is asked for here, so that there is one.
set -e
provium=$(readlink -f "${PROVIUM:-build/dev/bin/provium}")
n=${1:-7}
[ $# = 0 ] || shift
parts=${*:-hit sizes host many save reset}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '[provium]\nroots = ["."]\ncache_dir = "cache"\n' >provium.toml
for size in 256 512 1024 4096; do
    echo "return provium:vm('m', 'default', {memory = '${size}M'}):boot():snapshot()" >"m$size.fixture.lua"
done

cat >tool.lua <<'LUA'
local tool = {n = tonumber(os.getenv("N"))}

local function now()
    local pipe = io.popen("date +%s%N")
    local ns = pipe:read("n")
    pipe:close()
    return ns
end

-- The time that fn takes, in ms, without that of asking for the time; and what it returns.
function tool.timed(fn)
    local start = now()
    local nothing = now()
    local value = fn()
    return (now() - nothing - (nothing - start)) / 1e6, value
end

function tool.median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

-- The median of what fn(i) returns or, with a unit of 1 s, of how long it takes.
function tool.medians(fn, count)
    local list = {}
    for i = 1, count or tool.n do list[i] = fn(i) end
    return tool.median(list)
end

-- A machine that has answered, by vm:boot or a fixture; then time for the next one to be started.
function tool.answer(make, rest)
    local ms, vm = tool.timed(function()
        local vm = make()
        vm:run("true"):assert_ok()
        return vm
    end)
    vm:run("sleep " .. (rest or 0.6))
    vm:shutdown()
    return ms
end

local count = 0
function tool.boot(memory)
    return function()
        count = count + 1
        return provium:vm("cold" .. count, "default", {memory = memory}):boot()
    end
end

function tool.fixture(name)
    return function() return provium:vm_fixture(name) end
end

-- Until the greeting of a QEMU that does nothing else.
function tool.floor()
    local pipe, pid
    local ms = tool.timed(function()
        pipe = io.popen("echo $$; exec qemu-system-x86_64 -S -display none -qmp stdio 2>/dev/null </dev/null")
        pid = pipe:read("l")
        assert(pipe:read("l"):find("QMP"))
    end)
    os.execute("kill -9 " .. pid)
    pipe:close()
    return ms
end

function tool.out(format, ...)
    local out = io.open("result", "a")
    out:write(format:format(...), "\n")
    out:close()
end

return tool
LUA

# part NAME AHEAD: runs NAME.test.lua, whose text comes on standard input.
part() {
    case " $parts " in *" ${3:-$1} "*) ;; *) return 0 ;; esac
    { echo 'local tool = require("tool")'; cat; } >"$1.test.lua"
    : >result
    N=$n "$provium" --timeout 0 --ahead "$2" -q "$1.test.lua" 2>err || { cat err; exit 1; }
    cat result
}

for ahead in never always; do
    part "hit_$ahead" $ahead hit <<LUA
test("hit", function()
    local boot, hit = {}, {}
    tool.answer(tool.fixture("m512"))
    for i = 1, tool.n do -- a boot takes long and varies little
        if i <= 3 then boot[i] = tool.answer(tool.boot("512M"), 0) end
        hit[i] = tool.answer(tool.fixture("m512"))
    end
    local cold, warm = tool.median(boot), tool.median(hit)
    tool.out("fixture hit to the result of run(\"true\"), ahead %-6s %7.1f ms  1/%.0f of a cold boot (%.0f ms)", "$ahead", warm, cold / warm, cold)
end)
LUA
    part "sizes_$ahead" $ahead sizes <<LUA
test("sizes", function()
    local times, low, high = {}, math.huge, 0
    for _, size in ipairs{256, 1024, 4096} do tool.answer(tool.fixture("m" .. size)) end
    for _, size in ipairs{256, 1024, 4096} do
        times[#times + 1] = tool.medians(function() return tool.answer(tool.fixture("m" .. size)) end)
        low, high = math.min(low, times[#times]), math.max(high, times[#times])
    end
    tool.out("hit of 256, 1024, 4096 MiB, ahead %-6s            %.1f, %.1f, %.1f ms  largest / smallest %.2f", "$ahead", times[1], times[2], times[3], high / low)
end)
LUA
done

# Without ahead: from vm:restore to the state being loaded, by a machine whose file ends at its first instruction that counts:
# the time up to the agent's answer is taken off by restoring the same machine ahead of need.
part host always <<'LUA'
test("host phase", function()
    local vm = provium:vm("m", "default"):boot()
    local snap = vm:snapshot()
    vm:shutdown()
    local floor = tool.medians(tool.floor)
    local plain = tool.medians(function()
        local copy = "plain.snap" -- another path each time would do as well: none is ready for it
        os.execute("rm -f plain.snap; cp --preserve=timestamps " .. snap:path() .. " " .. copy)
        return tool.phase(vm, copy)
    end)
    local ahead = tool.medians(function() return tool.phase(vm, snap) end)
    tool.out("floor %.1f plain %.1f ahead %.1f", floor, plain, ahead)
end)
LUA
