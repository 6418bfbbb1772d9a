-- The command line from outside: selection, overrides, output forms, exit codes.
local inner = require("helpers.inner")

local TWO = {
    ["tests/a.test.lua"] = 'test("one", function() end) test("two", function(t) t:skip("later") end)',
    ["tests/sub/b.test.lua"] = 'test("three", function() end)',
    ["tests/.hidden/c.test.lua"] = "error('never')",
    ["tests/helper.lua"] = "error('never')",
}

test("text output: default, verbose, quiet", function(t)
    local result = inner.run(t, TWO, "tests")
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, "PASS tests/a.test.lua (1 passed, 0 failed, 1 skipped)\n")
    t:assert_contains(result.out, "2 file(s); 2 passed, 0 failed, 1 skipped; ")
    t:assert(not result.out:find("one"))
    result = inner.run(t, TWO, "-v tests")
    t:assert_contains(result.out, "    PASS one\n    SKIP two: later\n")
    result = inner.run(t, TWO, "-q tests")
    t:assert(not result.out:find("PASS"))
    t:assert_eq(inner.run(t, TWO, "-q -v tests").code, 2)
    t:assert(not result.out:find("\27"), "no colours in a pipe")
    t:assert_contains(inner.run(t, TWO, "--color always tests").out, "\27[32mPASS")
end)

test("list and --filter", function(t)
    t:assert_eq(inner.run(t, TWO, "list tests").out, "tests/a.test.lua\ntests/sub/b.test.lua\n")
    t:assert_eq(inner.run(t, TWO, "list --filter sub tests").out, "tests/sub/b.test.lua\n")
    t:assert_contains(inner.run(t, TWO, "--filter sub tests").out, "1 file(s); 1 passed")
    t:assert_eq(json.decode(inner.run(t, TWO, "list --json tests/a.test.lua").out).path, "tests/a.test.lua")
end)

test("help, version, doctor", function(t)
    t:assert_contains(inner.run(t, {}, "--help").out, "--accel")
    t:assert(inner.run(t, {}, "--version").out:find("^provium %d+%.%d+%.%d+\nprotocol %d+\nsnapshot format %d+\n$"), "what it speaks")
    for line in inner.run(t, {}, "--help").out:gmatch("[^\n]+") do
        t:assert(#line <= 120 and not line:find("%][a-z]"), "columns: " .. line)
    end
    t:assert_contains(inner.run(t, {}, "list --help").out, "list")
    local doctor = inner.run(t, {}, "doctor --json").out
    t:assert_contains(doctor, "hypervisor")
end)

test("--fail-fast starts nothing more", function(t)
    local files = {["a.test.lua"] = "test('x', function() error('no') end)", ["b.test.lua"] = "test('y', function() end)"}
    local result = inner.run(t, files, "-j 1 --fail-fast")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "1 file(s) not run")
end)

test("--kernel, --initrd and --append change a profile for one run", function(t)
    local files = {
        ["provium.toml"] = '[profiles.p]\nkernel = "@bundled"\ninitrd = "@bundled"\ncmdline = "console=ttyS0 quiet panic=-1"\n',
        ["x.test.lua"] = [[test("a", function(t)
            t:assert_contains(provium:vm("a", "p"):boot():read_file("/proc/cmdline"), "from.outside=1")
        end)]],
    }
    t:assert_eq(inner.run(t, files, "--append from.outside=1").code, 0)
    t:assert_eq(inner.run(t, files, "--append p=from.outside=1").code, 0)
    t:assert_eq(inner.run(t, files, "").code, 1)
    t:assert_contains(inner.run(t, files, "--kernel /no/kernel").out, "/no/kernel")
    t:assert_contains(inner.run(t, files, "--initrd p=/no/initrd").out, "/no/initrd")
end)

test("a profile's build command runs once per run, its output is used", function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.p]\nkernel = "@bundled"\ninitrd = "@bundled"\ncmdline_file = "{out}/cmdline"\n' ..
            'build = "echo built >>log; echo console=ttyS0 quiet built=yes > \\"{out}/cmdline\\""\nbuild_out = "out dir"\n',
        ["a.test.lua"] = 'test("a", function(t) t:assert_contains(provium:vm("a", "p"):boot():read_file("/proc/cmdline"), "built=yes") end)',
        ["b.test.lua"] = 'test("b", function(t) provium:vm("a", "p"):boot() end)',
    }, "")
    t:assert_eq(result.code, 0)
    local log = io.open(result.dir .. "/log")
    t:assert_eq(log:read("a"), "built\n")
    log:close()
end)

test("a build command that fails says how", function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.p]\nkernel = "{out}/k"\ncmdline = "x"\nbuild = "echo no compiler; exit 3"\n',
        ["a.test.lua"] = 'test("a", function(t) provium:vm("a", "p"):boot() end)',
    }, "")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "no compiler")
    t:assert_contains(result.out, "3")
end)

test("a build command that never ends counts towards the test, and is ended with all it started", function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.p]\nkernel = "{out}/k"\ncmdline = "x"\nbuild = "sleep 4711 & echo $! >pid; wait"\n',
        ["a.test.lua"] = [[
            test("a", {timeout = "1s"}, function(t) provium:vm("a", "p"):boot() end)
            test("after", function(t)
                local pid = io.open("pid"):read("n")
                wait_until(function() return not io.open("/proc/" .. pid .. "/cmdline") end)
            end)]],
    }, "")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "timed out")
    t:assert_contains(result.out, "1 passed, 1 failed")
end)

test("two runs at once do not meet", {timeout = "2m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", [[test("a", function(t)
        local vm = provium:vm("same", "default"):boot()
        vm:write_file("/tmp/x", "mine")
        t:assert_eq(vm:run("cat /tmp/x").stdout, "mine")
    end)]])
    local pipe = io.popen(("cd %s; for i in 1 2; do %s --json x.test.lua 2>/dev/null & done; wait"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local passed = 0
    for line in pipe:lines() do
        t:log(line)
        passed = passed + (json.decode(line).passed and 1 or 0)
    end
    pipe:close()
    t:assert_eq(passed, 2)
end)

test("the pool: boots wait for memory, too much is refused, claims are kept", {timeout = "2m"}, function(t)
    local boot = 'test("a", function() provium:vm("a", "default", {memory = "256M"}):boot():run("true"):assert_ok() end)'
    local files = {["a.test.lua"] = boot, ["b.test.lua"] = boot}
    t:assert_eq(inner.run(t, files, "-j 2 --mem 500M").code, 0)
    t:assert_contains(inner.run(t, files, "-j 2 --mem 300M").out, "more than the whole pool")
    local claim = {["c.test.lua"] = [[
        provium:claim({memory = "512M", cpus = 1})
        test("twice", function(t) t:assert_contains(t:assert_raises(function() provium:claim{memory = 1} end), "claim already taken") end)
        test("fits", function() provium:vm("a", "default", {memory = "512M"}):boot() end)
        test("does not", function() provium:vm("b", "default", {memory = "513M"}):boot() end)]]}
    local out = inner.run(t, claim, "").out
    t:assert_contains(out, "2 passed, 1 failed")
    t:assert_contains(out, "the claim of 512M has 512M left; claim memory = 513M")
end)
