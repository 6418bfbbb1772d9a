-- --watch: what a change runs. No machine is booted.
local inner = require("helpers.inner")
local slurp = inner.read_if_any
local events = require("helpers.events")

-- Starts `provium --watch` on files made for the occasion. session.wait(n) waits for the n-th end of a run and returns what
-- that run has printed; session.stop() interrupts it and returns the exit code.
local function start(t, files, args)
    local dir = inner.directory(t)
    local session = {dir = dir}
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    os.execute(("cd %s && { %s --watch --no-progress %s >>.out 2>&1 </dev/null & echo $! >.pid; wait $!; echo $? >.code; } &")
        :format(inner.quote(dir), inner.quote(inner.binary()), args or "."))
    function session.wait(n)
        local part
        wait_until(function()
            local parts = {}
            for text in slurp(dir .. "/.out"):gmatch("(.-)provium: note: watching; Ctrl%-C leaves\n") do parts[#parts + 1] = text end
            part = parts[n]
            return part
        end, {timeout = 60, desc = "run " .. n})
        t:log(("run %d:\n%s"):format(n, part))
        return part
    end
    function session.write(name, text) inner.write(dir .. "/" .. name, text) end
    function session.shell(command) os.execute(("cd %s && %s"):format(inner.quote(dir), command)) end
    function session.stop()
        session.shell("kill -INT $(cat .pid) 2>/dev/null")
        wait_until(function() return slurp(dir .. "/.code") ~= "" end, {timeout = 60, desc = "end of the watch"})
        return tonumber(slurp(dir .. "/.code"))
    end
    t:defer(session.stop)
    return session
end

local project = {
    ["provium.toml"] = '[provium]\nroots = ["tests"]\n',
    ["tests/a.test.lua"] = 'local h = require("helpers.h") test("a", function(t) t:assert_eq(h, 1) end)',
    ["tests/b.test.lua"] = 'test("b", function() end)',
    ["tests/c.test.lua"] = 'test("c", function(t) if false then vm:push_file("../data.bin", "/x") end end)',
    ["tests/helpers/h.lua"] = 'return require("helpers.deep")',
    ["tests/helpers/deep.lua"] = "return 1",
    ["data.bin"] = "x",
}

local function ran(text)
    local names = {}
    for name in text:gmatch("%u+ tests/([%w/]+)%.test%.lua") do names[#names + 1] = name end
    table.sort(names)
    return table.concat(names, " ")
end

test("all first, then what a change concerns", {timeout = "3m"}, function(t)
    local s = start(t, project, "--save-events ev")
    t:assert_eq(ran(s.wait(1)), "a b c")
    s.write("tests/b.test.lua", 'test("b", function(t) t:fail("now") end)')
    t:assert_eq(ran(s.wait(2)), "b")
    local stream = events.read(s.dir .. "/ev")
    t:assert(stream[1].kind == "run_started" and #events.of(stream, "run_started") == 1, "the file begins anew")
    s.write("tests/helpers/deep.lua", "return 2")
    local text = s.wait(3)
    t:assert_eq(ran(text), "a")
    t:assert_contains(text, "FAIL tests/a.test.lua")
    s.write("data.bin", "yy")
    t:assert_eq(ran(s.wait(4)), "c")
    s.write("tests/new/d.test.lua", 'test("d", function() end)')
    t:assert_eq(ran(s.wait(5)), "new/d")
    s.write("provium.toml", "nonsense")
    t:assert_contains(s.wait(6), "provium.toml")
    s.write("provium.toml", '[provium]\nroots = ["tests"]\n# more\n')
    t:assert_eq(ran(s.wait(7)), "a b c new/d")
    t:assert_eq(s.stop(), 130)
end)

test("an editor's rename-save, and nothing for its temporary files", {timeout = "2m"}, function(t)
    local s = start(t, project)
    s.wait(1)
    s.shell("touch tests/4913; rm tests/4913; echo swap >tests/.b.test.lua.swp; " ..
            "cp tests/b.test.lua tests/b.test.lua~; printf 'test(\"b\", function() end) -- saved' >tests/.new; mv tests/.new tests/b.test.lua; rm tests/.b.test.lua.swp")
    t:assert_eq(ran(s.wait(2)), "b")
    s.shell("mv tests/a.test.lua a.bak; sleep 0.3; mv a.bak tests/a.test.lua")
    s.shell("echo >>tests/c.test.lua")
    local third = s.wait(3)
    t:assert(ran(third) == "c" or ran(third) == "a c" or ran(third) == "a", "renamed away and back: " .. ran(third))
    t:assert_eq(s.stop(), 130)
end)

test("an empty set is fine, files join, the socket stays", {timeout = "2m"}, function(t)
    local s = start(t, {["provium.toml"] = '[provium]\nroots = ["tests"]\n', ["tests/keep.lua"] = ""}, "--rerun-failed --events-socket sock")
    t:assert_contains(s.wait(1), "0 file(s)")
    local reader = [[perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => "sock") or exit 1; ]] ..
        [[local $| = 1; while (sysread($s, my $b, 65536)) { print $b }' >]]
    s.shell(reader .. "early &")
    wait_until(function() return #slurp(s.dir .. "/early") > 0 end, {timeout = 60})
    s.write("tests/x.test.lua", 'test("x", function() end)')
    t:assert_eq(ran(s.wait(2)), "x")
    s.shell("cp early before")
    s.shell(reader .. "late &")
    wait_until(function() return slurp(s.dir .. "/late"):find("run_completed", 1, true) end, {timeout = 60})
    s.stop()
    t:assert_eq(#events.of(events.read(s.dir .. "/early"), "run_completed"), 2)
    t:assert_eq(#events.of(events.read(s.dir .. "/late"), "run_completed"), 1, "a late reader gets the newest run")
end)
