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
