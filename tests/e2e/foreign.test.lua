-- Snapshots of elsewhere: of another provium, QEMU, accelerator, CPU or machine. Each is refused before the guest runs, and
-- says what it is, what this is, and what to do.
local inner = require("helpers.inner")
local events = require("helpers.events")
local snapshot_file = require("helpers.snapshot_file")

provium.timeout = 240

test("a snapshot of elsewhere is refused, with both names", function(t)
    local vm = provium:vm("a", "default", {memory = "128M"}):boot()
    local path = vm:snapshot():path()
    vm:shutdown()
    local function refused(change, ...)
        local copy = path .. ".copy"
        assert(os.execute(("cp --sparse=always --preserve=timestamps '%s' '%s'"):format(path, copy)))
        snapshot_file.forge(copy, change)
        local message = t:assert_raises(function() vm:restore(copy) end)
        t:log(message)
        for _, text in ipairs{copy, ...} do t:assert_contains(message, text) end
        t:assert(vm:state() ~= "booted", vm:state())
        if vm:state() == "dead" then vm:shutdown() end
    end
    local function manifest(changes)
        return {manifest = function(m) for key, value in pairs(changes) do m[key] = value end end}
    end
    refused({format = 7}, "format 7; this provium reads format 1", "take it again")
    refused(manifest{hypervisor = "5.2.0 (elsewhere)"}, "taken with QEMU 5.2.0 (elsewhere); this is QEMU ",
        "take the snapshot again with this QEMU")
    refused(manifest{kvm = true, host_cpu = "Another CPU (0123456789ab)"}, "taken under KVM; guests run under ",
        "take it again here, or choose the accelerator with --accel")
    refused(manifest{arch = "aarch64"}, "taken of a guest for aarch64; profile `default` is for ")
    refused(manifest{machine = "pc-q35-0.1"}, "machine pc-q35-0.1, CPU ", "QEMU exited with status 1: ", "unsupported machine type")
    refused(manifest{cpu = "no-such-model"}, "CPU no-such-model: QEMU exited with status 1: ")
    refused(manifest{profile = "gone"}, "gone")
    refused(manifest{memory_bytes = 256 << 20}, "damaged: the manifest tells of another memory size")
    refused(manifest{cpus = 0}, "damaged: the manifest's `cpus`")
    refused(manifest{machine = "q35,dump-guest-core=/etc/passwd x"}, "damaged: the manifest's `machine`")
    vm:restore(path)
    vm:run("true"):assert_ok()
end)

local FILES = {
    ["provium.toml"] = '[provium]\nroots = ["."]\ncache_dir = "cache"\n',
    ["base.fixture.lua"] = [[
        if io.open("quick") then error("built again") end
        local vm = provium:vm("base", "default", {memory = "128M"}):boot()
        vm:write_file("/made", "yes")
        return vm:snapshot()]],
    ["x.test.lua"] = [[
        test("x", function(t)
            t:assert_eq(provium:vm_fixture("base"):read_file("/made"), "yes")
            t:assert_eq(provium.base_2, nil)
        end)]],
}

test("a fixture of elsewhere is told, evicted and built again", function(t)
    local first = inner.run(t, FILES, "x.test.lua")
    t:assert_eq(first.code, 0)
    local opts = {dir = first.dir}
    local function sh(command) return inner.output(("cd %s && %s"):format(inner.quote(first.dir), command)) end
    local function harmed(change, reason, quick)
        sh(quick and "cp -a --sparse=always cache kept; touch quick" or "true")
        change(first.dir .. "/" .. sh("ls -d cache/*.hot"):match("[^\n]+") .. "/vm.snap")
        local result = inner.run(t, {}, "--save-events ev x.test.lua", opts)
        t:assert_eq(result.code, quick and 1 or 0)
        t:assert_contains(result.err, "fixture `base` (key ")
        t:assert_contains(result.err, "the cached entry cannot be used and is built again: ")
        t:assert_contains(result.err, reason)
        local list = events.read(first.dir .. "/ev")
        t:assert_eq(#events.of(list, "fixture_build_started"), 1)
        t:assert_eq(#events.of(list, "fixture_cache_hit"), 0)
        sh(quick and "rm -rf cache quick; mv kept cache" or "true")
    end
    harmed(function(path) snapshot_file.forge(path, {manifest = function(m) m.hypervisor = "5.2.0" end}) end,
        "taken with QEMU 5.2.0; this is QEMU ")
    harmed(function(path) snapshot_file.forge(path, {manifest = function(m) m.kvm = not m.kvm end}) end,
        "guests run under ", true)
    harmed(function(path) snapshot_file.forge(path, {manifest = function(m) m.machine = "pc-q35-0.1" end}) end,
        "pc-q35-0.1", true)
    harmed(function(path)
        os.remove(path)
        sh("printf 'PROVIUMZ\\7' | dd of=$(ls cache/*.snap) conv=notrunc status=none")
    end, "archive format 7; this provium reads ", true)
    local last = inner.run(t, {}, "--save-events ev x.test.lua", opts)
    t:assert_eq(last.code, 0)
    t:assert_eq(#events.of(events.read(first.dir .. "/ev"), "fixture_build_started"), 0)
end)

local FIRST = '[profiles.other]\nkernel = "@bundled"\ninitrd = "@bundled"\nmemory = "200M"\ncpus = 2\ncpu = "qemu64"\n' ..
    'cmdline = "console=ttyS0 quiet panic=-1 mark=first"\n'

test("a machine that is not like the profile restores as itself, whatever the profile has become", function(t)
    local first = inner.run(t, {
        ["provium.toml"] = FIRST,
        ["take.test.lua"] = [[
            test("take", function()
                local vm = provium:vm("a", "other", {memory = "160M", cpus = 3, kernel_cmdline_append = "mark=boot"}):boot()
                vm:snapshot("by_option.snap")
                vm:shutdown()
                vm = provium:vm("b", "other"):boot()
                vm:snapshot("by_profile.snap")
                provium:snapshot("lab")
            end)]],
        ["use.test.lua"] = [[
            local function check(t, vm, cpus, memory, mark)
                t:assert_eq(vm:state(), "booted")
                t:assert_eq(vm:profile(), "other")
                t:assert_eq(vm:run("nproc"):assert_ok().stdout, cpus .. "\n")
                local kb = tonumber(vm:read_file("/proc/meminfo"):match("MemTotal:%s+(%d+)"))
                t:assert(kb < memory * 1024 and kb > memory * 700, kb)
                t:assert_contains(vm:read_file("/proc/cmdline"), mark)
                t:assert_contains(vm:read_file("/proc/cpuinfo"), "QEMU Virtual CPU")
                vm:reset()
                t:assert_contains(vm:read_file("/proc/cmdline"), mark)
                t:assert_eq(vm:run("nproc"):assert_ok().stdout, cpus .. "\n")
                vm:shutdown()
            end
            test("use", function(t)
                check(t, provium:vm("x", "default"):restore("by_option.snap"), 3, 160, "mark=boot")
                check(t, provium:vm("y", "default", {memory = "1G", cpus = 1}):restore("by_profile.snap"), 2, 200, "mark=first")
                local lab = provium:lab("z"):restore("lab")
                t:assert_eq(lab.a:state(), "shutdown")
                check(t, lab.b, 2, 200, "mark=first")
            end)]],
    }, "take.test.lua")
    t:assert_eq(first.code, 0)
    inner.write(first.dir .. "/provium.toml", (FIRST:gsub("200M", "333M"):gsub("cpus = 2", "cpus = 1"):gsub("qemu64", "max")
        :gsub("first", "second")))
    t:assert_eq(inner.run(t, {}, "use.test.lua", {dir = first.dir}).code, 0)
end)
