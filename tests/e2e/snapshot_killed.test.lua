-- kill -9 and a full disk while snapshots with a path are written or restored: what was there before, or the new one whole;
-- no process, and nothing half made that stays.
local inner = require("helpers.inner")

provium.timeout = 240

local shell = inner.output

-- Writes "ready" with its first snapshots, then goes on until it is killed.
local ENDLESS = [[
    test("endless", function(t)
        local vm = provium:vm("a", "default", {memory = "128M"})
        if io.open("one.snap") then
            vm:restore("one.snap")
        else
            vm:boot()
        end
        while true do
            local here = provium:snapshot("lab")
            vm:snapshot("one.snap")
            io.open("ready", "w"):close()
            provium:restore(here)
            os.execute("mv lab old && rm -rf old")
        end
    end)]]

test("killed while it snapshots and restores", {timeout = "4m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", ENDLESS)
    os.execute("mkdir " .. dir .. "/tmp")
    local labs = 0
    for round = 1, 5 do
        local mark = ("provium_mark_%d_%d"):format(os.time(), math.random(1, 1 << 40))
        os.execute(([[cd %s && rm -f ready; { env MARK=%s TMPDIR=$PWD/tmp %s x.test.lua >out 2>&1 & }
            while [ ! -e ready ] && kill -0 $! 2>/dev/null; do sleep 0.05; done
            sleep %.3f; kill -9 $!; wait $! 2>/dev/null]]):format(dir, mark, inner.quote(inner.binary()), math.random() * 0.8))
        wait_until(function() return #inner.survivors(mark) == 0 end, {timeout = 30, desc = "end of all processes"})
        local left = shell("ls -A " .. dir)
        t:log(round .. ": " .. left:gsub("\n", " "))
        for name in left:gmatch("[^\n]+") do
            t:assert(("x.test.lua tmp out ready one.snap lab old"):find(name, 1, true) or name:find("^%.lab%.provium%-"), name)
        end
        local vm = provium:vm("v" .. round, "default"):restore(dir .. "/one.snap")
        vm:run("true"):assert_ok()
        vm:shutdown()
        if left:find("\nlab\n") then
            labs = labs + 1
            local lab = provium:lab("l" .. round):restore(dir .. "/lab")
            lab.a:run("true"):assert_ok()
            lab:shutdown()
        end
        os.execute(("cd %s && rm -rf lab old"):format(dir))
    end
    t:log(labs .. " labs were whole")
    provium["v1"]:restore(dir .. "/one.snap")
    provium:snapshot(dir .. "/lab")
    t:assert_eq(shell("ls -A " .. dir .. " | grep -c provium-"), "0\n", "the next one sweeps what a killed one left beside")
end)

test("a full disk leaves what was there", function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", [[
        test("full", function(t)
            local vm = provium:vm("a", "default", {memory = "128M"}):boot()
            vm:write_file("/mark", "old")
            vm:snapshot("disk/one.snap")
            vm:write_file("/mark", "new")
            os.execute("df disk | awk 'NR == 2 {print $4 - 4096}' | xargs -I% fallocate -l %K disk/filler")
            t:assert_contains(t:assert_raises(function() vm:snapshot("disk/one.snap") end), "No space left on device")
            t:assert_contains(t:assert_raises(function() vm:snapshot("disk/two.snap") end), "No space left on device")
            t:assert_contains(t:assert_raises(function() provium:snapshot("disk/lab") end), "No space left on device")
            t:assert_eq(vm:read_file("/mark"), "new")
            vm:shutdown()
            vm:restore("disk/one.snap")
            t:assert_eq(vm:read_file("/mark"), "old")
        end)]])
    local text, status = inner.shell(t, inner.small_disk(dir, "100M", '"$PROVIUM" --sandbox off x.test.lua; code=$?; ls -A disk; exit $code'))
    if status == 77 then t:skip("no file system can be mounted here") end
    t:assert_eq(status, 0)
    t:assert(text:find("\nfiller\none.snap\nstatus 0\n$"), text)
end)
