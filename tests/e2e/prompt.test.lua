-- repl, console and doctor --boot: a guest at hand.
local inner = require("helpers.inner")
local slurp = inner.read_if_any

-- Runs provium with `input` from a pipe; {code, out, err}.
local function piped(t, args, input, files)
    files = files or {}
    files[".in"] = input
    return inner.run(t, files, args, {input = ".in"})
end

-- Types at a terminal: each step is {text to wait for, what to type then}. Returns everything that was shown and the code.
local function typed(t, args, steps, files)
    local dir = inner.directory(t)
    for name, text in pairs(files or {}) do inner.write(dir .. "/" .. name, text) end
    os.execute("mkfifo " .. inner.quote(dir .. "/keys"))
    os.execute(("cd %s && { TERM=xterm XDG_CACHE_HOME=cache script -qefc %s shown <keys >/dev/null 2>&1; echo $? >code; } &"):format(
        inner.quote(dir), inner.quote(inner.quote(inner.binary()) .. " " .. args)))
    local keys = io.open(dir .. "/keys", "r+")
    local at = 1
    for _, step in ipairs(steps) do
        wait_until(function()
            local _, stop = slurp(dir .. "/shown"):find(step[1], at, true)
            at = stop or at
            return stop
        end, {timeout = 40, desc = step[1]})
        keys:write(step[2])
        keys:flush()
    end
    wait_until(function() return slurp(dir .. "/code") ~= "" end, {timeout = 60, desc = "the end"})
    keys:close()
    local shown = slurp(dir .. "/shown")
    t:log((shown:gsub("\27", "ESC")))
    return shown, tonumber(slurp(dir .. "/code")), dir
end

test("repl from a pipe: values, several lines, the first error ends it", {timeout = "2m"}, function(t)
    local result = piped(t, "repl default --name box", "1 + 1, 'x'\nvm:run('uname').stdout\nfor i = 1, 2 do\n  print(i)\nend\n" ..
        "n = 3\nt = {1, k = {}}\nprovium:vm('box') == vm\nlocal s = [[a\nb]] return s\n")
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, '2\t"x"\n"Linux\\n"\n1\n2\n')
    t:assert_contains(result.out, 'true\n"a\\nb"\n')
    result = piped(t, "repl default", "print('before')\nerror('boom')\nprint('after')\n")
    t:assert_eq(result.code, 1)
    t:assert_eq(result.out, "before\n")
    t:assert_contains(result.err, "repl:1: boom")
end)

test("repl --fixture restores what was prepared", {timeout = "3m"}, function(t)
    local fixture = 'local vm = provium:vm("base", "default"):boot()\nvm:write_file("/prepared", "yes")\nreturn vm:snapshot()\n'
    local result = inner.run(t, {["base.fixture.lua"] = fixture, [".in"] = 'vm:read_file("/prepared")\n'}, "repl --fixture base",
        {input = ".in", env = "XDG_CACHE_HOME=$PWD/cache"})
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, '"yes"')
    t:assert_contains(inner.run(t, {}, "repl --fixture none").err, "`none` not found")
end)

test("repl: what is wrong is said before anything boots", function(t)
    local two = '[profiles.a]\nkernel = "/k"\ncmdline = "x"\n[profiles.b]\nkernel = "/k"\ncmdline = "x"\n'
    local result = inner.run(t, {["provium.toml"] = two}, "repl")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "hint: profiles: ")
    t:assert_contains(inner.run(t, {}, "repl nope").err, "`nope`")
    t:assert_eq(inner.run(t, {}, "repl default more").code, 2)
end)

test("repl on a terminal: errors keep it, Tab completes, Ctrl-C ends a call, lines continue, history stays", {timeout = "3m"}, function(t)
    local _, code, dir = typed(t, "repl default --no-preflight", {
        {"Ctrl-D ends.", "error('boom')\r"}, {"repl:1: boom", "vm:write_fi\t('/x', 'typed')\r"},
        {"> ", "vm:read_file('/x')\r"}, {'"typed"', "print('sp' .. 'in') while true do end\r"}, {"spin", "\3"},
        {"interrupted in Lua code at repl:1", "provium:memb\t()\r"}, {'name = "repl"', "if true then\r"}, {">> ", "print('both', 'lines')\r"}, {">> ", "end\r"},
        {"both\tlines", "\4"},
    }, nil)
    t:assert_eq(code, 0)
    local history = slurp(dir .. "/cache/provium/repl_history"):gsub("\\040", " ")
    for _, line in ipairs {"error('boom')", "vm:write_file('/x', 'typed')", "provium:members()"} do t:assert_contains(history, line) end
end)

test("console shows the guest on this terminal", {timeout = "2m"}, function(t)
    local shown, code = typed(t, "console default", {{"# ", "echo sum $((40+2))\r"}, {"sum 42", "\1x"}})
    t:assert_eq(code, 0)
    t:assert_contains(shown, "Ctrl-A X ends")
end)

test("console --print-command is a command", function(t)
    local files = {["provium.toml"] = '[profiles.p]\nkernel = "@bundled"\ninitrd = "@bundled"\ncmdline = "console=ttyS0 it\'s"\nmemory = "200M"\n'}
    local result = inner.run(t, files, "console p --print-command --mem 300M --cpus 2 -- -name 'a b' -snapshot")
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, " -m 300M ")
    t:assert_contains(result.out, " -smp 2 ")
    t:assert_contains(result.out, "'console=ttyS0 it'\\''s")
    t:assert_contains(result.out, " -name 'a b' -snapshot\n")
    t:assert(not result.out:find("provium-agent", 1, true), "no agent")
    result = inner.run(t, files, "console p --print-command --agent --cmdline 'x=1'")
    t:assert_contains(result.out, "rdinit=/sbin/provium-agent")
    t:assert_contains(result.out, "x=1")
    t:assert_eq(inner.run(t, files, "console").code, 2)
    t:assert_eq(inner.run(t, files, "list -- -x").code, 2, "other commands have paths there")
end)

test("doctor --boot tells how long each phase takes", {timeout = "2m"}, function(t)
    local result = inner.run(t, {}, "doctor --boot --json")
    t:assert_eq(result.code, 0)
    local boot
    for line in result.out:gmatch("[^\n]+") do
        local check = json.decode(line)
        if check.check == "boot" then boot = check end
    end
    t:assert_eq(boot.status, "ok")
    t:assert_contains(boot.finding, "kernel and agent ")
    local broken = inner.run(t, {["provium.toml"] = '[profiles.p]\nkernel = "/no/kernel"\ncmdline = "x"\n'}, "doctor --boot p")
    t:assert_eq(broken.code, 1)
    t:assert_contains(broken.out, "fail boot: `p`: ")
    t:assert_eq(inner.run(t, {}, "doctor p").code, 2)
end)
