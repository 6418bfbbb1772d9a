-- The power goes away, and with it whatever was not yet on the disk (helpers/power_cut.c tells how): what is found then is
-- what was there before or what came instead, never a mixture and never a part.
local inner = require("helpers.inner")

provium.timeout = 240

local shell = inner.output

-- Runs provium in `dir` with the library; the directories of what a disk may hold of `watched`.
local function cuts(t, dir, watched, args)
    local library = inner.binary():match("^(.*)/bin/[^/]*$") .. "/lib/power_cut.so"
    if not io.open(library) then t:skip("no " .. library) end
    os.execute(("rm -rf %s/states && mkdir %s/states"):format(dir, dir))
    local result = inner.run(t, {}, args, {dir = dir, env = ("ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 " ..
        "POWER_CUT_WATCH=%s/%s POWER_CUT_STATES=%s/states LD_PRELOAD=%s"):format(dir, watched, dir, library)})
    t:assert_eq(result.code, 0)
    local list = {}
    for path in shell(("ls -dv %s/states/[0-9]*"):format(dir)):gmatch("[^\n]+") do list[#list + 1] = path end
    t:log(#list .. " states")
    t:assert(#list > 5, "the library sees the calls")
    return list
end

test("while a fixture is built again", {timeout = "4m"}, function(t)
    local first = inner.run(t, {
        ["provium.toml"] = '[provium]\nroots = ["."]\ncache_dir = "cache"\n',
        ["version"] = "old",
        ["base.fixture.lua"] = [[
            if io.open("quick") then error("built again") end
            local vm = provium:vm("base", "default", {memory = "128M"}):boot()
            vm:write_file("/made", io.open("version"):read("a"))
            return vm:snapshot()]],
        ["x.test.lua"] = [[
            test("x", function(t) print("found " .. provium:vm_fixture("base"):read_file("/made")) end)]],
    }, "fixture build base")
    local dir = first.dir
    inner.write(dir .. "/version", "new")
    local found = {}
    local states = cuts(t, dir, "cache", "fixture rebuild base")
    inner.write(dir .. "/quick", "")
    for _, state in ipairs(states) do
        t:log(shell(("cd %s && find . -type f -printf '%%p %%s  '"):format(state)))
        local result = inner.run(t, {}, "x.test.lua", {dir = dir, env = "PROVIUM_FIXTURE_CACHE=" .. state})
        t:assert_eq(result.code, 0)
        t:assert(not result.err:find("cannot be used"), result.err)
        found[result.out:match("found (%w+)")] = true
        t:assert_eq(shell("ls -A " .. state .. " | grep -c tmp"), "0\n")
        os.execute("rm -rf " .. state)
    end
    t:assert(found.old and found.new, "both are among them")
end)

test("while snapshots with a path are taken", {timeout = "4m"}, function(t)
    local dir = inner.directory(t)
    local vm = provium:vm("a", "default", {memory = "128M"}):boot()
    os.execute("mkdir " .. dir .. "/kept")
    vm:write_file("/mark", "old")
    vm:snapshot(dir .. "/kept/one.snap")
    vm:shutdown()
    inner.write(dir .. "/x.test.lua", [[
        test("x", function()
            local vm = provium:vm("a", "default"):restore("kept/one.snap")
            vm:write_file("/mark", "new")
            vm:snapshot("kept/one.snap")
            local sub = provium:lab("sub")
            sub:vm("b", "default"):restore("kept/one.snap")
            sub:bridge("lan")
            provium:snapshot("kept/lab")
        end)]])
    local found, labs = {}, 0
    for i, state in ipairs(cuts(t, dir, "kept", "x.test.lua")) do
        t:log(shell(("cd %s && find . -type f -printf '%%p %%s  '"):format(state)))
        vm:restore(state .. "/one.snap")
        found[vm:read_file("/mark")] = true
        vm:shutdown()
        if shell("ls " .. state):find("lab\n") then
            local lab = provium:lab("lab" .. i):restore(state .. "/lab")
            t:assert_eq(lab.a:read_file("/mark"), "new")
            t:assert_eq(lab.sub.b:read_file("/mark"), "new")
            lab.a:shutdown()
            lab.sub.b:shutdown()
            labs = labs + 1
        end
        os.execute("rm -rf " .. state)
    end
    t:assert(found.old and found.new and labs > 0, "all are among them")
end)
