-- provium-coverage and --coverage. No machine is booted.
local inner = require("helpers.inner")
local events = require("helpers.events")

local suite = {
    ["a.test.lua"] = [[
        test("plain", {spec = "S-1", level = 3}, function() end)
        test("twice", {spec = {"S-2", "S-1", "S-2"}, level = 2.5}, function() end)
        test("broken", {spec = "S-2", level = true}, function(t) t:fail("no") end)
        test("later", {spec = "S-3"}, function(t) t:skip("today") end)
        test("none", function() end)
        test("map", {spec = {b = 1, a = {"x"}}}, function() end)]],
    ["b.test.lua"] = 'test("dies", {spec = "S-4"}, function() os.execute("kill -KILL $PPID") end)',
    ["c.test.lua"] = [[
        test("flaky", {spec = "S-5"}, function(t)
            if not io.open("seen") then io.open("seen", "w"):close() t:fail("first") end
        end)]],
}

local function program() return (inner.binary():gsub("[^/]*$", "provium-coverage")) end

-- Runs the suite once and returns the directory with its event stream `ev`.
local function recorded(t)
    return inner.run(t, suite, "--retries 1 -j1 --save-events ev .").dir
end

-- Runs provium-coverage in `dir`; {code, out, err}.
local function coverage(t, dir, args)
    local command = ("cd %s && %s </dev/null >.cov 2>.coverr %s"):format(inner.quote(dir), inner.quote(program()), args)
    local _, kind, code = os.execute(command)
    local function read(name) return io.open(dir .. "/" .. name):read("a") end
    local result = {code = kind == "exit" and code or -code, out = read(".cov"), err = read(".coverr")}
    t:log(("provium-coverage %s: exit %d\n%s%s"):format(args, result.code, result.out, result.err))
    return result
end

local function by_name(report)
    local out = {}
    for _, bucket in ipairs(report.buckets) do out[bucket.name] = bucket end
    return out
end

test("text: a row per bucket, sorted, each test once in the total", function(t)
    local out = coverage(t, recorded(t), "--from ev").out
    t:assert_eq(out:gsub(" +", " "), [[
spec passed failed skipped flaky
S-1 2 0 0 0
S-2 1 1 0 0
S-3 0 0 1 0
S-4 0 1 0 0
S-5 1 0 0 1
{"a":["x"],"b":1} 1 0 0 0
<unset> 1 0 0 0
total 5 2 1 1
]])
    local width = #out:match("^[^\n]+")
    for line in out:gmatch("[^\n]+") do t:assert_eq(#line, width, "aligned") end
end)

test("JSON holds the tests; --by is another key, repeated one report each", function(t)
    local dir = recorded(t)
    local result = coverage(t, dir, "--from ev --json --by level --by spec")
    local lines = {}
    for line in result.out:gmatch("[^\n]+") do lines[#lines + 1] = json.decode(line) end
    t:assert_eq(#lines, 2)
    t:assert_eq(lines[1].key, "level")
    t:assert_eq(lines[1].truncated, false)
    local level, spec = by_name(lines[1]), by_name(lines[2])
    t:assert(level["3"].passed == 1 and level["2.5"].passed == 1 and level["true"].failed == 1, "values by their text")
    t:assert_eq(level["<unset>"].failed, 1)
    t:assert_eq(#spec["S-1"].tests, 2)
    t:assert_eq(spec["S-2"].tests[1].name, "twice")
    t:assert_eq(spec["S-2"].tests[2].status, "failed")
    t:assert_eq(spec["S-5"].flaky, 1)
    t:assert_eq(spec["S-5"].tests[1].path, "c.test.lua")
    t:assert_eq(lines[2].totals.passed, 5)
    t:assert_eq(coverage(t, dir, "--json --from - <ev").out, coverage(t, dir, "--json --from ev").out)
end)

test("--expect, --fail-under and -o", function(t)
    local dir = recorded(t)
    inner.write(dir .. "/want", "S-1\nS-9\nS-5\n\nS-2\n")
    local report = json.decode(coverage(t, dir, "--from ev --expect want --json").out)
    t:assert_eq(table.concat(report.uncovered, " "), "S-9")
    t:assert_eq(table.concat(report.unexpected, " "), 'S-3 S-4 {"a":["x"],"b":1}')
    t:assert_contains(coverage(t, dir, "--from ev --expect want").out, "\nuncovered:\n  S-9\n\nunexpected:\n  S-3\n")
    t:assert_eq(coverage(t, dir, "--from ev --expect want --fail-under 50").code, 0)
    local below = coverage(t, dir, "--from ev --expect want --fail-under 50.1")
    t:assert_eq(below.code, 1)
    t:assert_contains(below.err, "50.0 % of `spec` passed, less than 50.1 %")
    t:assert_eq(coverage(t, dir, "--from ev --fail-under 50").code, 0, "3 of 6 without expectations")
    t:assert_eq(coverage(t, dir, "--from ev -o report").out, "")
    t:assert_contains(io.open(dir .. "/report"):read("a"), "S-1")
end)

test("a stream cut anywhere gives its whole frames and says so", function(t)
    local dir = recorded(t)
    local bytes = io.open(dir .. "/ev", "rb"):read("a")
    local at, started = 1, nil
    for index, event in ipairs(events.decode(bytes)) do
        if event.kind == "test_started" and event.payload.name == "broken" then started = {index, at} end
        at = at + 4 + (string.unpack(">I4", bytes, at))
    end
    local whole = started[2] + 3 + string.unpack(">I4", bytes, started[2])
    for _, case in ipairs {{"", "0 frames at byte 0"}, {bytes:sub(1, whole + 9), ("%d frames at byte %d"):format(started[1], whole)},
                           {bytes:sub(1, whole) .. "\xff\xff\xff\xff", ("%d frames at byte %d"):format(started[1], whole)},
                           {bytes:sub(1, whole) .. "\0\0\0\1\xc0more", ("%d frames at byte %d"):format(started[1], whole)}} do
        inner.write(dir .. "/cut", case[1])
        local result = coverage(t, dir, "--from cut --json")
        t:assert_eq(result.code, 0)
        t:assert_contains(result.err, "stream cut after " .. case[2])
        local report = json.decode(result.out)
        t:assert_eq(report.truncated, true)
        if #case[1] > 0 then
            local bucket = by_name(report)["S-2"]
            t:assert(bucket.unfinished == 1 and bucket.passed == 1, "unfinished")
            t:assert_eq(bucket.tests[2].status, "unfinished")
        end
        t:assert_eq(coverage(t, dir, "--from cut --strict").code, 1)
    end
    t:assert_contains(coverage(t, dir, "--from cut").out, "unfinished\n")
    t:assert_eq(coverage(t, dir, "--from ev --strict").code, 0)
end)

test("usage errors and unreadable sources", function(t)
    local dir = inner.directory(t)
    for _, args in ipairs {"", "--from x --from-socket y", "--from nothing", "--from-socket nothing", "--from x --json --html",
                           "--from x --fail-under 101", "--nonsense", "--from x y", "--from x --follow", "--from /"} do
        local result = coverage(t, dir, args)
        t:assert_eq(result.code, 2, args)
        t:assert_contains(result.err, "provium-coverage: ", args)
    end
    t:assert_contains(coverage(t, dir, "--help").out, "--fail-under")
    t:assert_contains(coverage(t, dir, "--version").out, "protocol 2")
end)

test("live from a run's socket", function(t)
    local dir = inner.directory(t)
    for name, text in pairs(suite) do inner.write(dir .. "/" .. name, text) end
    inner.write(dir .. "/w.test.lua", 'test("waits", {spec = "W"}, function(t) assert(wait_until(function() return io.open("go") end, {timeout = 60})) end)')
    os.execute(("cd %s && { %s --events-socket sock --no-progress . >out 2>&1; echo $? >code; } &"):format(inner.quote(dir), inner.quote(inner.binary())))
    t:defer(function() inner.write(dir .. "/go", "") end)
    wait_until(function() return os.execute(("test -S %s/sock"):format(inner.quote(dir))) end, {timeout = 60})
    os.execute(("cd %s && { sleep 0.2; touch go; } &"):format(inner.quote(dir)))
    local report = json.decode(coverage(t, dir, "--from-socket sock --json").out)
    t:assert_eq(report.truncated, false)
    t:assert_eq(by_name(report)["W"].passed, 1)
    wait_until(function() return io.open(dir .. "/code") end, {timeout = 60})
end)

test("--coverage reports after the run and leaves nothing behind", function(t)
    local dir = inner.directory(t)
    os.execute("mkdir " .. inner.quote(dir .. "/tmp"))
    local text = 'test("a", {spec = "S-1"}, function(t) t:log(os.getenv("PROVIUM_COVERAGE_TMP")) t:assert(os.getenv("PROVIUM_COVERAGE_MARKER")) end)'
    local result = inner.run(t, {["x.test.lua"] = text}, "--coverage x.test.lua", {dir = dir, env = "TMPDIR=$PWD/tmp"})
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, "S-1")
    local left = io.popen("ls -A " .. inner.quote(dir .. "/tmp")):read("a")
    t:assert_eq(left, "")
    result = inner.run(t, {}, "--coverage --json x.test.lua --save-events mine", {dir = dir})
    t:assert_contains(result.err, "S-1")
    t:assert(#events.read(dir .. "/mine") > 5, "the user's file stays")
    local interrupts = [[test("a", function(t) os.execute("kill -INT $(awk '{ print $4 }' /proc/$PPID/stat); sleep 5") end)]]
    result = inner.run(t, {["bad.test.lua"] = interrupts}, "--coverage bad.test.lua", {dir = dir, env = "TMPDIR=$PWD/tmp"})
    t:assert_eq(result.code, 130)
    t:assert_eq(io.popen("ls -A " .. inner.quote(dir .. "/tmp")):read("a"), "")
end)

test("the page is one file with every bucket", function(t)
    local dir = recorded(t)
    coverage(t, dir, "--from ev --html --by spec --by level -o c.html")
    local page = io.open(dir .. "/c.html"):read("a")
    t:assert(not page:find("https?://"), "nothing from elsewhere")
    t:assert_contains(page, 'data-name="S-1"')
    t:assert_contains(page, "by level")
    t:assert_contains(page, "Content-Security-Policy")
end)
