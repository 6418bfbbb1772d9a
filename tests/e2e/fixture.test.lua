-- Fixtures on real guests: built once, restored, stacked, shared between files and processes, repaired.
local inner = require("helpers.inner")
local events = require("helpers.events")

provium.timeout = 240

local CONFIG = '[provium]\nroots = ["."]\ncache_dir = "cache"\n[profiles.small]\nkernel = "@bundled"\n' ..
    'initrd = "@bundled"\ncmdline = "console=ttyS0 quiet panic=-1"\nmemory = "256M"\n'

local FIXTURES = {
    ["provium.toml"] = CONFIG,
    ["base.fixture.lua"] = [[
        local vm = provium:vm("base", "small"):boot()
        vm:write_file("/made", "by base\n")
        return vm:snapshot()]],
    ["setups/top.fixture.lua"] = [[
        local vm = provium:vm_fixture("base")
        vm:run("echo by top >> /made"):assert_ok()
        return vm:snapshot()]],
}

-- The fixtures' directory and cache are made once, by the first test, for the others.
local dir

local function asks(name, expected)
    return ([[
        test("restored", function(t)
            local vm = provium:vm_fixture(%q)
            t:assert_eq(vm:state(), "booted")
            t:assert_eq(vm:read_file("/made"), %q)
        end)]]):format(name, expected)
end

local shell = inner.output

local function list(pattern) return shell(("ls -d %s/cache/%s 2>/dev/null"):format(dir, pattern)) end

local function run(t, files, args, opts)
    opts = opts or {}
    opts.dir = dir
    local result = inner.run(t, files, "--save-events ev " .. args, opts)
    return result, events.read(dir .. "/ev")
end

test("eight files in each of two runs that ask for one cold fixture: it is built once", function(t)
    dir = shell("mktemp -d /tmp/provium-e2e-XXXXXX"):match("[^\n]+")
    local files = {["go.sh"] = [[
        "$PROVIUM" --save-events ev1 -j4 a & one=$!
        "$PROVIUM" --save-events ev2 -j4 b & two=$!
        wait $one; first=$?
        wait $two && exit $first]]}
    for name, text in pairs(FIXTURES) do files[name] = text end
    for i = 1, 8 do
        files[("a/%d.test.lua"):format(i)] = asks("base", "by base\n")
        files[("b/%d.test.lua"):format(i)] = asks("base", "by base\n")
    end
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    local ok = os.execute(("cd %s && PROVIUM=%s sh go.sh > out 2>&1"):format(dir, inner.quote(inner.binary())))
    t:log(shell("cat " .. dir .. "/out"))
    t:assert(ok, "both runs pass")
    local count = {}
    for _, name in ipairs{"ev1", "ev2"} do
        for _, event in ipairs(events.read(dir .. "/" .. name)) do
            count[event.kind] = (count[event.kind] or 0) + 1
            local p = event.payload
            if event.kind == "fixture_build_done" then
                t:assert(p.path == "base" and #p.key == 64 and p.snapshot_bytes > 0, "done")
                t:assert(p.duration_ns > 0 and not p.error, "done")
            elseif event.kind == "fixture_cache_hit" then
                t:assert(p.path == "base" and p.hot == true and p.restore_ns > 0 and p.file:find("test.lua"), "hit")
            elseif event.kind == "file_blocked" and p.reason == "build_lock" then
                count.build_lock = (count.build_lock or 0) + 1
                t:assert_eq(p.waiting_for.memory_bytes, 0)
            elseif event.kind == "fixture_build_waiting" then
                t:assert(p.held_by_file:find("%.test%.lua$"), "waits for a file")
            end
        end
    end
    t:assert_eq(count.fixture_build_started, 1)
    t:assert_eq(count.fixture_build_done, 1)
    t:assert_eq(count.fixture_cache_hit, 15)
    t:assert_eq(count.build_lock, count.fixture_build_waiting)
    t:assert(count.build_lock >= 1, "a file that was started with the one that builds waits")
    t:assert_eq(list(".tmp-*"), "")
end)

test("a fixture on top of another pays its own steps, and is complete without it", function(t)
    local result, ev = run(t, {["top.test.lua"] = asks("setups/top", "by base\nby top\n")}, "top.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(#events.of(ev, "fixture_build_started"), 1)
    t:assert_eq(events.of(ev, "fixture_build_started")[1].path, "setups/top")
    t:assert_eq(events.of(ev, "fixture_cache_hit")[1].path, "base")
    result, ev = run(t, {}, "top.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(#events.of(ev, "fixture_build_started"), 0)
    t:assert_eq(events.of(ev, "fixture_cache_hit")[1].path, "setups/top")
end)

test("names, scopes and options", function(t)
    local result = run(t, {["names.test.lua"] = [[
        local first
        test("names", function(t)
            first = provium:vm_fixture("base")
            t:assert_eq(first:name(), "base")
            t:assert_eq(provium.vm_fixture("base", {name = "other"}):name(), "other")
            local second = provium:vm_fixture("base", {scope = "test"})
            t:assert_eq(second:name(), "base_2")
            t:assert(first:cid() ~= second:cid(), "their own identity")
            local function refused(opts, text)
                t:assert_contains(t:assert_raises(function() provium:vm_fixture("base", opts) end), text)
            end
            refused({name = "base"}, "DuplicateVmName")
            refused({nam = "x"}, 'unknown key "nam"')
            refused({scope = "x"}, 'must be "file" or "test"')
        end)
        test("of the file", function(t)
            t:assert_eq(provium.base, first)
            t:assert_eq(first:state(), "booted")
            t:assert_eq(provium.base_2, nil)
            t:assert_eq(provium.other:read_file("/made"), "by base\n")
        end)]]}, "names.test.lua")
    t:assert_eq(result.code, 0)
end)

test("asked for while the file is read, and reset between tests", function(t)
    local result, ev = run(t, {["reset.test.lua"] = [[
        provium.reset_between_tests = true
        local vm = provium:vm_fixture("base")
        for i = 1, 3 do
            test("round " .. i, function(t)
                t:assert_eq(vm:read_file("/made"), "by base\n")
                t:assert_eq(provium:vm_fixture("base"):name(), "base_2")
                vm:write_file("/made", "changed")
            end)
        end]]}, "reset.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(#events.of(ev, "fixture_cache_hit"), 4)
end)

test("restored machines are charged to the claim like booted ones", function(t)
    local result = run(t, {["claim.test.lua"] = [[
        provium:claim{memory = "300M", cpus = 1}
        test("one fits", function(t)
            local vm = provium:vm_fixture("base", {scope = "test"})
            t:assert_contains(t:assert_raises(function() provium:vm_fixture("base", {scope = "test"}) end),
                "needs 256M; the claim of 300M has 44M left")
            vm:shutdown()
            provium:vm_fixture("base", {name = "another", scope = "test"})
        end)
        test("and is given back", function(t) provium:vm_fixture("base") end)]]}, "claim.test.lua")
    t:assert_eq(result.code, 0)
end)

-- Changes one byte in the middle of every file that matches.
local function flip(pattern)
    for path in list(pattern):gmatch("[^\n]+") do
        local file = assert(io.open(path, "r+b"))
        local at = file:seek("end") // 2
        file:seek("set", at)
        local byte = file:read(1):byte()
        file:seek("set", at)
        file:write(string.char(byte ~ 1))
        file:close()
    end
end

test("a damaged or missing hot form is made again from the entry", function(t)
    local harms = {
        function() flip("*.hot/vm.snap") end,
        function() os.execute("rm -r " .. dir .. "/cache/*.hot") end,
    }
    for _, harm in ipairs(harms) do
        harm()
        local result, ev = run(t, {}, "a/1.test.lua")
        t:assert_eq(result.code, 0)
        t:assert_eq(#events.of(ev, "fixture_build_started"), 0)
        t:assert_eq(events.of(ev, "fixture_cache_hit")[1].hot, false)
    end
end)

test("a damaged entry is told, evicted and built again, without a hit", function(t)
    local harms = {
        function() flip("*.snap") end,
        function() for path in list("*.snap"):gmatch("[^\n]+") do os.execute("truncate -s 100000 " .. path) end end,
    }
    for _, harm in ipairs(harms) do
        os.execute("rm -r " .. dir .. "/cache/*.hot")
        harm()
        local result, ev = run(t, {}, "a/1.test.lua")
        t:assert_eq(result.code, 0)
        t:assert_contains(result.err, "fixture `base` (key ")
        t:assert_contains(result.err, "the cached entry cannot be used and is built again: ")
        t:assert_eq(#events.of(ev, "fixture_build_done"), 1)
        t:assert_eq(#events.of(ev, "fixture_cache_hit"), 0)
    end
end)

test("the cache is cut to its limit at the start of a run", function(t)
    inner.write(dir .. "/provium.toml", (CONFIG:gsub('"cache"\n', '"cache"\ncache_max_size = "60M"\n')))
    local result = run(t, {}, "nothing.test.lua")
    t:assert_eq(result.code, 2) -- no such path, after which nothing is evicted
    t:assert(list("*.hot") ~= "", "untouched")
    result = run(t, {["nothing.test.lua"] = ""}, "nothing.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(list("*.hot"), "")
    t:assert(list("*.snap") ~= "", "entries are last")
    inner.write(dir .. "/provium.toml", CONFIG)
end)

-- Runs a test file with a cache of that size on a file system of its own. `prepare` goes in front; Gives the text, the names
-- left in the cache, and the events.
local function run_small(t, size, prepare)
    local text, code = inner.shell(t, inner.small_disk(dir, size, prepare .. [[

        PROVIUM_FIXTURE_CACHE=$PWD/disk "$PROVIUM" --sandbox off --save-events ev a/1.test.lua
        code=$?
        ls -A disk > left
        exit $code]]))
    if code == 77 then t:skip("no file system can be mounted here") end
    return {code = code, text = text, left = shell("cat " .. dir .. "/left"), events = events.read(dir .. "/ev")}
end

test("without room for the hot form the entry is used", function(t)
    local small = run_small(t, "30M", "cp -a cache/*.snap cache/*.meta disk/")
    t:assert_eq(small.code, 0)
    t:assert_contains(small.text, "no hot form: ")
    t:assert_contains(small.text, "No space left on device")
    t:assert_eq(events.of(small.events, "fixture_cache_hit")[1].hot, false)
    t:assert_eq(#events.of(small.events, "fixture_build_started"), 0)
end)

test("a full cache fails the build, says so and leaves nothing", function(t)
    local small = run_small(t, "20M", "")
    t:assert_eq(small.code, 1)
    t:assert_contains(small.text, "No space left on device")
    t:assert(not small.left:find("%.snap\n") and not small.left:find("%.hot") and not small.left:find("%.tmp"), small.left)
    local done = events.of(small.events, "fixture_build_done")
    t:assert(#done == 1 and done[1].snapshot_bytes == 0 and done[1].error, "the event tells")
end)

test("the directory goes", function() os.execute("rm -rf " .. inner.quote(dir)) end)
