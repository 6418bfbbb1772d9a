-- What fixtures may and may not do, what they depend on, and the command `fixture`. No machine is booted.
local inner = require("helpers.inner")
local events = require("helpers.events")

local CONFIG = {["provium.toml"] = '[provium]\nroots = ["a", "b"]\ncache_dir = "cache"\n'}

local function with(files)
    for name, text in pairs(CONFIG) do files[name] = text end
    return files
end

-- Runs one call in a test; gives its result.
local function ask(t, files, call)
    files["a/x.test.lua"] = ('test("x", function() provium:%s end)'):format(call or 'vm_fixture("f")')
    return inner.run(t, with(files), "--save-events ev a/x.test.lua")
end

local function assert_fails(t, result, text)
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, text)
end

test("what a fixture returns is checked", function(t)
    local needs = "fixture `f`: vm_fixture needs a Snapshot, and it returned "
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "local x = 1"}),
        needs .. "nothing; its last line must be `return vm:snapshot()`")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "return 'x.snap'"}), needs .. "a string;")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "return provium:snapshot()"}), needs .. "a LabSnapshot;")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "return provium"}, 'lab_fixture("f")'),
        "fixture `f`: lab_fixture needs a LabSnapshot without a path of its own, and it returned a userdata; " ..
        "its last line must be `return provium:snapshot()`")
end)

test("an error in the chunk is the caller's, with its traceback", function(t)
    local result = ask(t, {["a/f.fixture.lua"] = "local function deep()\n    error('no luck')\nend\ndeep()"})
    assert_fails(t, result, "fixture `f`: a/f.fixture.lua:2: no luck")
    t:assert_contains(result.out, "a/f.fixture.lua:4: in the main chunk")
    local done = events.of(events.read(result.dir .. "/ev"), "fixture_build_done")
    t:assert_eq(#done, 1)
    t:assert_contains(done[1].error, "no luck")
    t:assert_eq(done[1].snapshot_bytes, 0)
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "x ="}), "a/f.fixture.lua:1: unexpected symbol near <eof>")
end)

test("a fixture has no tests, and a state of its own", function(t)
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "test('x', function() end)"}), "test: a fixture has no tests")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "todo()"}), "todo: a fixture has no tests")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "error(tostring(shared))", ["a/x.test.lua"] = "shared = 1"}), ": nil")
end)

test("names are looked up below the roots, in order", function(t)
    assert_fails(t, ask(t, {["a/.keep"] = "", ["b/.keep"] = ""}, 'vm_fixture("nowhere")'),
        "fixture `nowhere` not found in any test root (a, b)")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "error('a')", ["b/f.fixture.lua"] = "error('b')"}),
        "a/f.fixture.lua:1: a")
    assert_fails(t, ask(t, {["f.fixture.lua"] = ""}, 'vm_fixture("../f")'), "fixture `../f` not found")
    assert_fails(t, ask(t, {}, "vm_fixture(7)"), "lab:vm_fixture: path must be a string (got number)")
end)

test("circles are told, seen from the text or met while building", function(t)
    local files = {["a/f.fixture.lua"] = "provium:vm_fixture('g')", ["b/g.fixture.lua"] = "provium:vm_fixture('f')"}
    assert_fails(t, ask(t, files), "fixtures need each other: f -> g -> f")
    assert_fails(t, ask(t, {["a/f.fixture.lua"] = "local me = 'f' provium:vm_fixture(me)"}),
        "fixture `f` needs itself to be built")
end)

test("what the scan misses is reported while building", function(t)
    local result = ask(t, {["a/h.lua"] = "return 1", ["a/f.fixture.lua"] = [[
        local file, module = "data.txt", "h"
        provium:depends_on_file("seen.txt")
        provium:depends_on_file(file)
        require(module)
        require("string")]]})
    t:assert_contains(result.err, "fixture `f`: a/f.fixture.lua:3: depends_on_file of `a/data.txt` is not seen from the text")
    t:assert_contains(result.err, "fixture `f`: a/f.fixture.lua:4: require of `h` is not seen from the text")
    t:assert_contains(result.err, 'provium:depends_on_file("...")')
    t:assert(not result.err:find("seen.txt", 1, true) and not result.err:find("`string`", 1, true), result.err)
end)

test("a worker that dies while building: the build ends, nothing is left locked", function(t)
    local result = ask(t, {["a/f.fixture.lua"] = "os.execute('kill -KILL $PPID')"})
    assert_fails(t, result, "killed by SIGKILL")
    local done = events.of(events.read(result.dir .. "/ev"), "fixture_build_done")
    t:assert_eq(#done, 1)
    t:assert_eq(done[1].error, "the process of the file ended")
    inner.write(result.dir .. "/a/f.fixture.lua", "error('again')")
    inner.write(result.dir .. "/a/f.fixture.lua", "os.execute('kill -KILL $PPID')") -- the same key as before
    local again = inner.run(t, {}, "--save-events ev a/x.test.lua", {dir = result.dir})
    assert_fails(t, again, "killed by SIGKILL")
    t:assert_eq(#events.of(events.read(result.dir .. "/ev"), "fixture_build_waiting"), 0)
    local left = io.popen("ls -A " .. result.dir .. "/cache | grep -c tmp")
    t:assert(left:read("n") <= 1, "the first one's staging directory is swept")
    left:close()
end)

test("the test's time does not run while a fixture is built, the file's does", function(t)
    local files = {["a/f.fixture.lua"] = "local n = 0 for i = 1, 3e7 do n = n + i end error('built')"}
    files["a/x.test.lua"] = "test('x', {timeout = '50ms'}, function() provium:vm_fixture('f') end)"
    assert_fails(t, inner.run(t, with(files), "a/x.test.lua"), "a/f.fixture.lua:1: built")
    files["a/f.fixture.lua"] = "while true do end"
    local result = inner.run(t, with(files), "--timeout 1s a/x.test.lua")
    assert_fails(t, result, "TIME a/x.test.lua")
    t:assert_contains(result.out, "file timed out after 1s in Lua code at a/f.fixture.lua:1")
end)

test("a file that builds and one that waits for it can starve each other of memory, which is proven", function(t)
    local files = {["a/f.fixture.lua"] = "provium:vm('x', 'default', {memory = '256M'}):boot()"}
    local test_file = "test('x', function() provium:vm_fixture('f') end)"
    files["a/1.test.lua"] = test_file
    files["a/2.test.lua"] = "provium:claim{memory = '400M'}\n" .. test_file
    local result = inner.run(t, with(files), "--mem 700M -j2 --timeout 20s a")
    assert_fails(t, result, "the pool is deadlocked: all ")
end)

test("list --fixtures", function(t)
    local files = with{["a/sub/f.fixture.lua"] = "", ["b/f.fixture.lua"] = "", ["a/x.test.lua"] = ""}
    local result = inner.run(t, files, "list --fixtures")
    t:assert_eq(result.out, "a/sub/f.fixture.lua\nb/f.fixture.lua\n")
end)

test("fixture: usage", function(t)
    local cases = {
        {"fixture buidl f", "unknown action `buidl`; known: list, build, rebuild, clean, stale"},
        {"fixture buidl f", "hint: did you mean `build`?"},
        {"fixture build", "which fixture?"},
        {"fixture clean f", "fixture clean: takes no path"},
    }
    for _, case in ipairs(cases) do
        local result = inner.run(t, with{["a/.keep"] = "", ["b/.keep"] = ""}, case[1])
        t:assert_eq(result.code, 2)
        t:assert_contains(result.err, case[2])
    end
    local result = inner.run(t, with{["a/.keep"] = "", ["b/.keep"] = ""}, "fixture build nope")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.err, "fixture `nope` not found in any test root (a, b)")
end)

test("fixture: an empty cache, stale fixtures, a build that fails", function(t)
    local files = with{
        ["a/f.fixture.lua"] = "error('no luck')", ["b/sub/g.fixture.lua"] = "", ["b/f.fixture.lua"] = "hidden"}
    local result = inner.run(t, files, "fixture list")
    t:assert_eq(result.out, "0 entries, 0B\n")
    local opts = {dir = result.dir}
    result = inner.run(t, {}, "fixture stale", opts)
    t:assert_eq(result.out, "f\nsub/g\n2 stale fixture(s)\n")
    result = inner.run(t, {}, "fixture build f --no-preflight", opts)
    t:assert_eq(result.code, 1)
    t:assert_contains(result.err, "no luck")
    result = inner.run(t, {}, "fixture build sub/g --no-preflight", opts)
    t:assert_eq(result.code, 1)
    t:assert_contains(result.err,
        "it returned nothing; its last line must be `return vm:snapshot()` or `return provium:snapshot()`")
    result = inner.run(t, {}, "fixture clean", opts)
    t:assert_eq(result.code, 0)
    local left = io.popen("ls -A " .. result.dir .. "/cache")
    t:assert_eq(left:read("a"), "")
    left:close()
end)
