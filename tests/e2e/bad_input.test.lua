-- Bad input gets an error that names the thing, its state and the next step.
local inner = require("helpers.inner")

local BOOT = 'test("boot", function() provium:vm("a", "p"):boot() end)'

local function boot_with(t, profile, files, opts)
    files = files or {}
    files["provium.toml"] = "[profiles.p]\n" .. profile
    files["x.test.lua"] = files["x.test.lua"] or BOOT
    local result = inner.run(t, files, "--json x.test.lua", opts)
    local file = inner.json(result)["x.test.lua"]
    return file and file.tests[1].message or result.err, result
end

local GUEST = 'cmdline = "console=ttyS0 quiet panic=-1"\n'
local BUNDLED = 'kernel = "@bundled"\ninitrd = "@bundled"\n' .. GUEST

test("configuration errors end the run with 2", function(t)
    local cases = {
        {"[profiles.p]\nkernel = \"k\"\ncmdline = \"  \"\n", "invalid config in `", "profile `p` has empty cmdline"},
        {"[profiles.p]\nkernel = \"k\"\ncmdline = \"x\"\nguest_os = \"linux\"\n", "invalid config in `",
            "profile `p` has guest_os = `linux`, only `peios` is supported in v1"},
        {"[profiles.p]\ncmdline = \"x\"\n", "profile `p` has no kernel (set kernel or root)"},
        {"[profiles.p]\nkernle = \"k\"\ncmdline = \"x\"\n", "unknown key `kernle`", "kernel"},
        {"[provium]\nrots = []\n", "unknown key `rots`", "roots"},
        {"[provium\n", "parse `", "line 1"},
        {"[provium]\nroots = 5\n", "roots"},
        {"[provium]\ncache_max_size = \"lots\"\n", "invalid size", "lots"},
        {"[profiles.p]\nkernel = \"k\"\ncmdline = \"x\"\naccel = \"fast\"\n", "fast", "auto"},
    }
    for _, case in ipairs(cases) do
        local result = inner.run(t, {["provium.toml"] = case[1], ["x.test.lua"] = BOOT}, "")
        t:assert_eq(result.code, 2, case[1])
        for i = 2, #case do t:assert_contains(result.err, case[i]) end
    end
    local result = inner.run(t, {["x.test.lua"] = BOOT}, "--config missing.toml")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "read `missing.toml`: No such file or directory")
end)

test("kernels that are none", function(t)
    t:assert_contains(boot_with(t, 'kernel = "gone"\n' .. GUEST), "gone`: No such file or directory")
    t:assert_contains(boot_with(t, 'kernel = "empty"\n' .. GUEST, {empty = ""}), "empty")
    t:assert_contains(boot_with(t, 'kernel = "text"\n' .. GUEST, {text = ("hello\n"):rep(1000)}), "text`")
    t:assert_contains(boot_with(t, 'kernel = "."\n' .. GUEST), "irectory")
end)

test("initrds that are none", function(t)
    local function message(name, content)
        return boot_with(t, 'kernel = "@bundled"\ninitrd = "' .. name .. '"\n' .. GUEST, {[name] = content})
    end
    t:assert_contains(boot_with(t, 'kernel = "@bundled"\ninitrd = "gone"\n' .. GUEST), "gone`: No such file or directory")
    t:assert_contains(message("empty", ""), "empty")
    local wrong = message("wrong", ("hello\n"):rep(1000))
    for _, format in ipairs{"wrong", "cpio", "gzip", "zstd", "xz"} do t:assert_contains(wrong, format) end
    t:assert_contains(message("cut", "070701" .. ("0"):rep(50)), "cut")
    t:assert_contains(message("gz", "\x1f\x8b\x08\0\0\0\0\0"), "gz")
end)

test("an initrd without /init boots, with and without content", function(t)
    local _, result = boot_with(t, 'kernel = "@bundled"\n' .. GUEST, {["x.test.lua"] = [[
        test("a", function(t)
            local vm = provium:vm("a", "p"):boot()
            t:assert_contains(vm:read_file("/proc/cmdline"), "rdinit=")
        end)]]})
    t:assert_eq(result.code, 0)
end)

test("an empty command line is refused at boot", function(t)
    local message = boot_with(t, BUNDLED, {["x.test.lua"] = 'test("a", function() provium:vm("a", "p"):boot{kernel_cmdline = " "} end)'})
    t:assert_contains(message, "empty")
end)

test("another rdinit conflicts with the agent's", function(t)
    local message = boot_with(t, 'kernel = "@bundled"\ninitrd = "@bundled"\ncmdline = "rdinit=/my/init"\n')
    t:assert_contains(message, "/my/init")
    t:assert_contains(message, "remove rdinit= or set inject_agent = false")
end)

test("a guest that panics at boot: the panic line", function(t)
    local message = boot_with(t, 'kernel = "@bundled"\ninitrd = "@bundled"\ninject_agent = false\n' ..
        'cmdline = "console=ttyS0 panic=-1 rdinit=/no/init init=/no/init"\n')
    t:assert_contains(message, 'vm "a": boot: kernel panic: ')
    t:assert_contains(message, "console tail:")
end)

test("a guest without an agent: timeout and console tail", function(t)
    local message = boot_with(t, 'kernel = "@bundled"\ninitrd = "@bundled"\ninject_agent = false\n' ..
        'cmdline = "console=ttyS0 rdinit=/bin/sh"\nagent_boot_timeout = "15s"\n')
    t:assert_contains(message, 'vm "a": boot: the agent did not answer within 15s')
    t:assert_contains(message, "Run /bin/sh as init process")
end)

test("a guest that powers off at boot", function(t)
    local message = boot_with(t, BUNDLED, {["x.test.lua"] = [[
        test("a", function() provium:vm("a", "p", {agent_timeout = "30s", kernel_cmdline_append = "rdinit=/off",
            files = {}}):boot() end)]]})
    t:assert_contains(message, "rdinit")
    message = boot_with(t, 'kernel = "@bundled"\ninitrd = "@bundled"\ninject_agent = false\n' ..
        'cmdline = "console=ttyS0 rdinit=/off"\n', {["x.test.lua"] = [[
        test("a", function() provium:vm("a", "p", {
            files = {{path = "/off", content = "#!/bin/sh\n/bin/busybox poweroff -f\n", mode = 493}}}):boot() end)]]})
    t:assert_contains(message, "the guest powered itself off")
end)

test("QEMU that does not start: its own words", function(t)
    t:assert_contains(boot_with(t, BUNDLED .. 'machine = "toaster"\n'), "QEMU exited with status 1")
    t:assert_contains(boot_with(t, BUNDLED .. 'cpu = "abacus"\n'), "abacus")
    local _, result = boot_with(t, BUNDLED, nil, {env = "PROVIUM_QEMU=/no/qemu"})
    t:assert_contains(result.out .. result.err, "/no/qemu")
end)

test("more memory than there is", function(t)
    local message = boot_with(t, BUNDLED .. 'memory = "100T"\n')
    t:assert_contains(message, "more than the whole pool")
    t:assert_contains(message, "--mem")
end)

test("a full disk under the cache is a warning, under the temporary directory an error", function(t)
    if not os.execute("unshare -rm true 2>/dev/null") then t:skip("needs a nested user namespace to mount a small disk") end
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", 'test("boot", function() provium:vm("a", "default"):boot():run("true"):assert_ok() end)')
    local function run(variable)
        local pipe = io.popen(("cd %s && unshare -rm sh -c 'mkdir -p small && mount -t tmpfs -o size=16k none small && " ..
            "head -c 1000000 /dev/zero >small/fill 2>/dev/null; %s=%s/small %s --sandbox off x.test.lua 2>&1; echo exit $?'"):format(
            inner.quote(dir), variable, dir, inner.binary()))
        local text = pipe:read("a")
        pipe:close()
        t:log(text)
        return text
    end
    local cache = run("XDG_CACHE_HOME")
    t:assert_contains(cache, "exit 0")
    t:assert_contains(cache, "No space left on device")
end)

test("paths with spaces and UTF-8", function(t)
    local result = inner.run(t, {["dir with space/ünï/a b.test.lua"] = 'test("a", function() end)'}, '"dir with space"')
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, "PASS dir with space/ünï/a b.test.lua (1 passed")
end)

test("1 000 files", {timeout = "2m"}, function(t)
    local dir = inner.directory(t)
    os.execute(("cd %s && for i in $(seq 1000); do echo 'test(\"a\", function() end)' >f$i.test.lua; done"):format(inner.quote(dir)))
    local result = inner.run(t, {}, "-q", {dir = dir})
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, "1000 file(s); 1000 passed, 0 failed")
end)

test("paths and flags that do not exist", function(t)
    local result = inner.run(t, {}, "nowhere")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "nowhere")
    result = inner.run(t, {}, "--jsno")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "--json")
    t:assert_eq(inner.run(t, {}, "").code, 0)
    t:assert_contains(inner.run(t, {}, "").err, "no test files found below `.`: their names end in .test.lua")
end)

test("a command line that is wrong names the thing, its state and the next step", function(t)
    local cases = {
        {"nowhere", "`nowhere`: No such file or directory", "hint: a path is a test file, or a directory"},
        {"run x.test.lua", "`run`: No such file or directory", "hint: tests run without a command: `provium [PATH...]`"},
        {"help", "hint: that is `provium --help`"},
        {"lst", "hint: did you mean the command `list`?"},
        {"--tmeout 3", "unknown flag `--tmeout`", "hint: did you mean `--timeout`?"},
        {"--jobs", "--jobs needs a value: --jobs N"},
        {"--timeout 5x", "--timeout: invalid duration `5x`", '"30s"'},
        {"--shard 5/3", "--shard: invalid value `5/3`, expected I/N"},
        {"--since nowhere", "--since: `nowhere`: No such file or directory", "hint: name a file or directory"},
        {"--durations x.test.lua .", "--durations: `x.test.lua`: "},
        {"--json --tap", "--json and --tap contradict each other"},
        {"list --watch", "--watch does not apply to `provium list`"},
        {"--junit no/dir/x.xml .", "--junit: `no/dir/x.xml`: No such file or directory", "hint: it needs a directory"},
        {"--html no/dir/x.html .", "--html: `no/dir/x.html`: No such file or directory"},
        {"--events-socket no/dir/s .", "--events-socket: `no/dir/s`: No such file or directory"},
        {"repl none", "profile `none` not found; known: default"},
        {"fixture bild x", "fixture: unknown action `bild`; known: ", "hint: did you mean `build`?"},
        {"doctor some", "doctor: a profile goes with --boot", "hint: `provium doctor --boot some`"},
        {"completion", "completion: bash, zsh or fish?\n"},
        {"man x", "`provium man` does not take `x`"},
        {"merge", "merge: nothing to merge: name what all shards have left"},
        {"merge nowhere", "`nowhere`: No such file or directory"},
    }
    for _, case in ipairs(cases) do
        local result = inner.run(t, {["x.test.lua"] = 'test("x", function() end)'}, case[1])
        t:assert_eq(result.code, 2, case[1])
        for i = 2, #case do t:assert_contains(result.err, case[i]) end
    end
    local small = inner.run(t, {["x.test.lua"] = ""}, "--mem 10M .")
    t:assert_eq(small.code, 1)
    t:assert_contains(small.out, "a file needs 50 MiB, and the whole pool has 10 MiB; raise --mem")
    t:assert_contains(inner.run(t, {["x.test.lua"] = ""}, "--filter zzz .").err, "no test files found below `.` that --filter, ")
end)
