#!/bin/sh
# Snapshots, restores and fixtures in figures, each against its floor, all in one run: medians of N (default 7).
#
#   PROVIUM=build/release/bin/provium tests/bench/bench_snapshot.sh [N] [PART…]
#
# Parts: hit sizes distribution host many save reset; all without any. `ahead always` stands for machines started ahead of
# need: with `idle`, the default, a machine that does something else has none.
set -e
provium=$(readlink -f "${PROVIUM:-build/dev/bin/provium}")
restore=$(dirname "$provium")/bench_restore
top=$(readlink -f "$(dirname "$0")/../..")
guest=${GUEST:-$top/dist/guest/x86_64}
made=${DISTRIBUTION:-$top/build/distribution/trixie}
n=${1:-7}
[ $# = 0 ] || shift
parts=${*:-hit sizes distribution host many save reset}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '[provium]\nroots = ["."]\ncache_dir = "cache"\n' >provium.toml
if [ -e "$made/complete" ]; then
    cat >>provium.toml <<END
[profiles.distribution]
kernel = "$made/vmlinuz"
initrd = "$made/initrd"
cmdline = "console=ttyS0 panic=-1 boot=provium root=none"
memory = "1G"
agent_boot_timeout = "60s"
END
fi
for size in 256 512 1024 4096; do
    echo "return provium:vm('m', 'default', {memory = '${size}M'}):boot():snapshot()" >"m$size.fixture.lua"
done

echo 'return require("tool").systemd():snapshot()' >systemd.fixture.lua

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

-- The median of what fn(i) returns.
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

-- A distribution that is up.
function tool.systemd()
    local vm = provium:vm("systemd", "distribution"):boot()
    wait_until(function()
        local ok, state = pcall(vm.run, vm, {"systemctl", "is-system-running", "--wait"})
        return ok and state.stdout == "running\n"
    end, {timeout = 300, interval = 0.2, desc = "systemd"})
    return vm
end

function tool.fixture(name)
    return function() return provium:vm_fixture(name) end
end

function tool.shell(command)
    local pipe <close> = io.popen(command)
    return pipe:read("a")
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
    local steps = {{}, {}, {}, {}}
    for i = 1, tool.n do
        local vm
        steps[1][i] = tool.timed(function() vm = provium:vm_fixture("m512") end)
        steps[2][i] = tool.timed(function() vm:stat("/") end)
        steps[3][i] = tool.timed(function() vm:run("true") end)
        steps[4][i] = tool.timed(function() vm:run("true") end)
        vm:run("sleep 0.6")
        vm:shutdown()
    end
    for i, list in ipairs(steps) do steps[i] = tool.median(list) end
    tool.out("  step by step: the machine %.1f ms, stat %.1f, run %.1f, the same run again %.1f", table.unpack(steps))
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
    [ ! -e "$made/complete" ] || part "distribution_$ahead" $ahead distribution <<LUA
test("distribution", function()
    local cold = tool.timed(function() tool.systemd() end)
    tool.answer(tool.fixture("systemd"))
    local warm = tool.medians(function() return tool.answer(tool.fixture("systemd"), 3) end)
    tool.out("the same of a Debian with systemd, ahead %-6s           %7.1f ms  1/%.0f of a cold boot to \`running\` (%.0f ms)", "$ahead", warm, cold / warm, cold)
end)
LUA
done
case " $parts " in *" distribution "*)
    [ -e "$made/complete" ] || echo "a Debian with systemd: not measured, tests/distribution/check --make makes it" ;;
esac

for ahead in never always; do
    part "many_$ahead" $ahead many <<LUA
test("many", function()
    tool.answer(tool.fixture("m256"))
    local vms = {}
    local one = tool.medians(function() return tool.answer(tool.fixture("m256")) end, 5)
    local all = tool.timed(function()
        for i = 1, 20 do
            vms[i] = provium:vm_fixture("m256")
            vms[i]:run("true"):assert_ok()
        end
    end)
    local pss = tonumber(tool.shell("for p in \$(pgrep qemu-system); do awk '/^Pss:/ {print \$2}' /proc/\$p/smaps_rollup; done | awk '{s += \$1} END {print s / NR / 1024}'"))
    tool.out("20 machines of 256 MiB one after the other, ahead %-6s %7.0f ms  %.2f of 20 x %.1f ms; %.1f MiB each (PSS)", "$ahead", all, all / 20 / one, one, pss)
end)
LUA
    part "reset_$ahead" $ahead reset <<LUA
provium.reset_between_tests = true
local vm = provium:vm("m", "default")
local cold = tool.timed(function() vm:boot():run("true") end)
local times, ended = {}, nil
local function now() return tonumber(tool.shell("date +%s%N")) / 1e6 end
for i = 1, tool.n + 1 do
    test("test " .. i, function()
        vm:run("true"):assert_ok()
        if ended then times[#times + 1] = now() - ended end
        vm:run("sleep 0.6")
        if i == tool.n + 1 then
            local per_test = tool.median(times)
            tool.out("reset_between_tests to the result of run(\"true\"), ahead %-6s %6.1f ms  1/%.0f of a cold boot (%.0f ms)", "$ahead", per_test, cold / per_test, cold)
        end
        ended = now()
    end)
end
LUA
done

export GUEST="$guest"
part save never <<'LUA'
-- A plain QEMU with the same kernel and memory, at a shell: the time that save(ask) takes there.
local function plain(save, options)
    tool.shell("rm -f in; mkfifo in")
    local guest = os.getenv("GUEST")
    local from = io.popen(("exec qemu-system-x86_64 -M q35 -m 512 -nodefaults -display none -serial null -kernel %s/vmlinux " ..
        "-initrd %s/initrd -append 'quiet rdinit=/bin/sh' -qmp stdio %s <in 2>/dev/null"):format(guest, guest, options))
    local to = io.open("in", "w")
    local function ask(command, done)
        repeat
            to:write(command, "\n")
            to:flush()
            local line
            repeat line = from:read("l") until line:find('"return"')
        until not done or line:find(done)
    end
    ask('{"execute":"qmp_capabilities"}')
    tool.shell("sleep 6")
    ask('{"execute":"stop"}')
    local ms = tool.timed(function() save(ask) end)
    to:write('{"execute":"quit"}\n')
    to:close()
    from:close()
    return ms
end

local function migrate(ask)
    ask('{"execute":"migrate-set-parameters","arguments":{"max-bandwidth":1000000000000}}')
    ask('{"execute":"migrate","arguments":{"uri":"exec:cat >state"}}')
    ask('{"execute":"query-migrate"}', '"status": "completed"')
end

local function savevm(ask)
    ask('{"execute":"human-monitor-command","arguments":{"command-line":"savevm s"}}')
end

local function allocated(path) return tonumber(tool.shell("stat -c %b " .. path)) / 2048 end

test("save", function()
    local migrated = tool.medians(function() return plain(migrate, "") end, 3)
    local state = allocated("state")
    local vm = provium:vm("m", "default"):boot()
    local snap
    local own = tool.medians(function()
        if snap then snap:delete() end
        local ms
        ms, snap = tool.timed(function() return vm:snapshot() end)
        return ms
    end)
    local function row(what, ms, size, more)
        tool.out("%-24s %5.0f ms  %3.0f MiB on the disk" .. (more or "  1/%.1f"), what, ms, size, ms / own)
    end
    row("snapshot of 512 MiB", own, allocated(snap:path()), "")
    row("  migration to a file", migrated, state)
    if tool.shell("qemu-img create -q -f qcow2 disk 1G 2>&1") ~= "" then return tool.out("  savevm: not measured, qemu-img makes no disk") end
    row("  savevm", tool.medians(function() return plain(savevm, "-drive if=none,file=disk,format=qcow2") end, 3), allocated("disk"))
end)
LUA

case " $parts " in *" host "*)
    echo 'test("x", function() provium:vm("m", "default"):boot():snapshot("host.snap") end)' >x.test.lua
    "$provium" -q x.test.lua >/dev/null 2>&1
    "$restore" host.snap "$guest/vmlinux" "$guest/initrd" "$n" ;;
esac
