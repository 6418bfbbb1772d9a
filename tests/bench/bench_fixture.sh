#!/bin/sh
# What a fixture saves: from the call of vm_fixture() to the result of run("true"), against a cold boot of the same machine
# up to the same result. Medians of N (default 10), for guests of 256 MiB, 1 GiB and 4 GiB. Bars: at most 1/30 of the boot,
# and within 1.3 of each other.
#
#   PROVIUM=build/release/bin/provium tests/bench/bench_fixture.sh [N]
set -e
provium=$(readlink -f "${PROVIUM:-build/dev/bin/provium}")
n=${1:-10}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

printf '[provium]\nroots = ["."]\ncache_dir = "cache"\n' >provium.toml
for size in 256 1024 4096; do
    cat >"m$size.fixture.lua" <<LUA
local vm = provium:vm("m", "default", {memory = "${size}M"}):boot()
return vm:snapshot()
LUA
done
cat >bench.test.lua <<LUA
local function clock()
    local pipe = io.popen("date +%s%N")
    local ns = pipe:read("n")
    pipe:close()
    return ns
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

-- The time that fn takes to give a machine that has answered, in ms, without that of asking for the time.
local function measure(count, fn)
    local list = {}
    for i = 1, count do
        local start = clock()
        local nothing = clock()
        local vm = fn(i)
        vm:run("true"):assert_ok()
        list[i] = (clock() - nothing - (nothing - start)) / 1e6
        vm:shutdown()
    end
    return median(list)
end

test("bench", function(t)
    provium:vm_fixture("m256", {name = "warm256"}):shutdown()
    provium:vm_fixture("m1024", {name = "warm1024"}):shutdown()
    provium:vm_fixture("m4096", {name = "warm4096"}):shutdown()
    local boot = measure(3, function(i)
        return provium:vm("cold" .. i, "default", {memory = "1024M"}):boot()
    end)
    local out = io.open("result", "w")
    out:write(("cold boot, 1024 MiB       %8.1f ms\n"):format(boot))
    local low, high
    for _, size in ipairs{256, 1024, 4096} do
        local hit = measure($n, function(i)
            return provium:vm_fixture("m" .. size, {name = ("hit%d_%d"):format(size, i)})
        end)
        low, high = math.min(low or hit, hit), math.max(high or hit, hit)
        out:write(("fixture hit, %4d MiB     %8.1f ms   1/%.0f of a cold boot\n"):format(size, hit, boot / hit))
    end
    out:write(("largest / smallest        %8.2f\n"):format(high / low))
    out:close()
end)
LUA
"$provium" --timeout 0 -q bench.test.lua
cat result
