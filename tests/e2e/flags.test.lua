-- Flags that no other suite is about: limits, overrides and checks. No machine is booted.
local inner = require("helpers.inner")
local events = require("helpers.events")

local FILES = {
    ["a.test.lua"] = 'test("one", function() end) test("two", function(t) t:skip("later") end)',
    ["b.test.lua"] = 'test("three", function(t) t:fail("no") end)',
}

local function run(t, args, files, opts)
    return inner.run(t, files or FILES, args, opts)
end

-- The pool that a run has with these flags.
local function total(t, args)
    local result = inner.run(t, {["a.test.lua"] = ""}, "--save-events ev a.test.lua " .. args)
    t:assert_eq(result.code, 0)
    return events.of(events.read(result.dir .. "/ev"), "run_started")[1].total
end

test("--mem, --cpus and --cpu-overcommit make the pool", function(t)
    t:assert_eq(total(t, "--mem 300M --cpus 2").memory_bytes, 300 << 20)
    t:assert_eq(total(t, "--mem=1.5G").memory_bytes, 3 << 29)
    t:assert_eq(total(t, "--cpus 3").cpus, 3)
    t:assert_eq(total(t, "--cpus 3 --cpu-overcommit 1.5").cpus, 4, "rounded down")
    t:assert_eq(total(t, "--cpus 3 --cpu-overcommit 100").cpus, 24, "8 at most")
    t:assert_eq(total(t, "--cpus 3 --cpu-overcommit 0.1").cpus, 1, "0.5 at least")
    t:assert_eq(total(t, "--cpus 1 --cpu-overcommit 0.5").cpus, 1, "never none")
end)

test("--jobs is the most files at once", function(t)
    local result = run(t, "--jobs 1 --psi-threshold 0 --save-events ev .")
    local at = {}
    for i, event in ipairs(events.read(result.dir .. "/ev")) do at[event.kind .. (event.payload.path or "")] = i end
    t:assert(at["file_completeda.test.lua"] < at["file_dispatchedb.test.lua"], "one after the other")
    t:assert_eq(run(t, "--jobs 0 .").code, 2)
end)

test("--psi-threshold 0 is no pause, whatever the pressure", function(t)
    local result = run(t, "--jobs 2 --psi-threshold 0 --save-events ev .")
    t:assert_eq(#events.of(events.read(result.dir .. "/ev"), "file_blocked"), 0)
end)

test("--verbose shows every test, --quiet only failures", function(t)
    t:assert_contains(run(t, "--verbose .").out, "    PASS one\n    SKIP two: later\n")
    local quiet = run(t, "--quiet .").out
    t:assert(not quiet:find("a.test.lua", 1, true), "what passed is not shown")
    t:assert_contains(quiet, "FAIL b.test.lua")
end)

test("--config names another configuration", function(t)
    local files = {["other.toml"] = '[provium]\nroots = ["sub"]\n', ["sub/x.test.lua"] = "", ["y.test.lua"] = ""}
    t:assert_eq(run(t, "list --config other.toml", files).out, "sub/x.test.lua\n")
end)

test("--qemu is what preflight checks; --no-preflight skips that", function(t)
    local files = {["a.test.lua"] = 'test("no guest", function() end)'}
    local missing = run(t, "--qemu /no/qemu .", files)
    t:assert_eq(missing.code, 2)
    t:assert_contains(missing.err, "/no/qemu")
    t:assert_contains(missing.err, "provium doctor")
    t:assert_eq(run(t, "--qemu /no/qemu --no-preflight .", files).code, 0)
end)

test("--accel and --append are on the command line of a guest", function(t)
    local command = run(t, "console default --print-command --accel tcg --append from.outside=1").out
    t:assert_contains(command, "-accel tcg")
    t:assert_contains(command, "from.outside=1")
    t:assert_contains(run(t, "--accel xen .").err, '"auto", "kvm" or "tcg"')
end)

test("--no-build wants what a build would have made", function(t)
    local files = {
        ["provium.toml"] = '[profiles.p]\nkernel = "{out}/k"\ncmdline = "x"\nbuild = "touch ran"\nbuild_out = "out"\n',
        ["x.test.lua"] = 'test("boots", function() provium:vm("v", "p"):boot() end)',
    }
    local result = run(t, "--no-build .", files)
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "--no-build")
    t:assert_eq(inner.read_if_any(result.dir .. "/ran"), "")
end)

test("--sandbox off leaves the tests in the namespaces of whoever calls", function(t)
    local outside = inner.output("readlink /proc/self/ns/net")
    local files = {["x.test.lua"] = 'test("where", function(t) t:assert_eq(io.popen("readlink /proc/self/ns/net"):read("a"), os.getenv("OUTSIDE") .. "\\n") end)'}
    t:assert_eq(run(t, "--sandbox off .", files, {env = "OUTSIDE=" .. inner.quote(outside:match("%S+"))}).code, 0)
end)

test("--no-ksm says nothing of KSM", function(t)
    t:assert(not run(t, "--no-ksm .").err:find("KSM"), "left alone")
end)

test("--color always colours, --color never does not, NO_COLOR counts for auto", function(t)
    t:assert_contains(run(t, "--color always .").out, "\27[31mFAIL")
    t:assert(not run(t, "--color never .").out:find("\27"), "plain")
    t:assert(not run(t, "--color auto .", FILES, {env = "NO_COLOR=1"}).out:find("\27"), "plain")
end)

test("what tests write is captured: formats of standard output stay whole", function(t)
    local files = {["x.test.lua"] = 'print("printed") test("x", function() io.write("written\\n") os.execute("echo echoed") end)'}
    for _, flag in ipairs {"--json", "--tap", "--ktap", "--events-stdout"} do
        local result = run(t, flag .. " x.test.lua", files)
        t:assert_eq(result.code, 0)
        for _, word in ipairs {"printed", "written", "echoed"} do
            t:assert(not result.out:find(word), flag .. " " .. word)
            t:assert_contains(result.err, word)
        end
    end
    t:assert_contains(run(t, "x.test.lua", files).out, "printed\n")
end)
