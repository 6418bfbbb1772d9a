-- What a user has before the first run: init, completion, the manual page.
local inner = require("helpers.inner")
local shell, need = inner.shell, inner.need

-- Commands of a shell with `provium` on its PATH.
local function with_provium(program, script)
    return ("PATH=%s:$PATH %s -c %s"):format(inner.quote(inner.binary():match("^(.*)/")), program, inner.quote(script))
end

test("init writes a project that passes, and replaces nothing", {timeout = "2m"}, function(t)
    local result = inner.run(t, {}, "init new")
    t:assert_eq(result.code, 0)
    t:assert_eq(result.out, "new/provium.toml\nnew/tests/smoke.test.lua\nnew/tests/fixtures/base.fixture.lua\n")
    local dir = result.dir .. "/new"
    local run = inner.run(t, {}, "-v", {dir = dir})
    t:assert_eq(run.code, 0)
    t:assert_contains(run.out, "PASS the kernel boots")
    inner.write(dir .. "/provium.toml", "mine")
    local again = inner.run(t, {}, "init new", {dir = result.dir})
    t:assert_eq(again.code, 1)
    t:assert_contains(again.err, "`new/provium.toml` is there already: kept")
    t:assert_eq(io.open(dir .. "/provium.toml"):read("a"), "mine")
    t:assert_eq(inner.run(t, {}, "init new --force", {dir = result.dir}).code, 0)
    t:assert(io.open(dir .. "/provium.toml"):read("a") ~= "mine", "replaced")
end)

test("init with a kernel declares a profile", function(t)
    local result = inner.run(t, {["my kernel"] = "x"}, "init --kernel 'my kernel'")
    t:assert_eq(result.code, 0)
    t:assert_contains(io.open(result.dir .. "/provium.toml"):read("a"), ('kernel = "%s/my kernel"\ninitrd = "@bundled"\n'):format(result.dir))
    t:assert_contains(io.open(result.dir .. "/tests/smoke.test.lua"):read("a"), '"main"')
    t:assert_eq(inner.run(t, {}, "list", {dir = result.dir}).out, "tests/smoke.test.lua\n")
    t:assert_eq(inner.run(t, {}, "init a b").code, 2)
end)

local project = {
    ["provium.toml"] = '[provium]\nroots = ["tests"]\n[profiles.mine]\nkernel = "k"\ncmdline = "x"\n',
    ["tests/net/base.fixture.lua"] = "",
}

test("words for completion come from the project", function(t)
    t:assert_eq(inner.run(t, project, "completion profiles").out, "default\nmine\n")
    t:assert_eq(inner.run(t, project, "completion fixtures").out, "net/base\n")
    t:assert_eq(inner.run(t, {["s/one/manifest.json"] = "{}"}, "completion snapshots", {env = "PROVIUM_SNAPSHOTS=s"}).out, "one\n")
    t:assert_eq(inner.run(t, {["provium.toml"] = "nonsense"}, "completion profiles").out, "")
    t:assert_contains(inner.run(t, {}, "completion tcsh").err, "bash, zsh or fish?")
end)

test("bash completes commands, flags and values", function(t)
    local dir = inner.run(t, project, "completion bash").dir
    local function complete(...)
        local words = {...}
        for i, word in ipairs(words) do words[i] = inner.quote(word) end
        local script = ("cd %s; source ./.out; COMP_WORDS=(provium %s); COMP_CWORD=%d; _provium; echo \"${COMPREPLY[@]}\""):format(
            inner.quote(dir), table.concat(words, " "), #words)
        return (shell(t, with_provium("bash", script))):match("^([^\n]*)\n")
    end
    t:assert_eq(complete("pre"), "prepare")
    t:assert_eq(complete("--acc"), "--accel")
    t:assert_eq(complete("--accel", ""), "auto kvm tcg")
    t:assert_eq(complete("--accel", "=", "k"), "kvm")
    t:assert_eq(complete("prepare", "m"), "mine")
    t:assert_eq(complete("list", "--time"), "")
    t:assert_eq(complete("tests", "--time"), "--timeout")
    t:assert_eq(complete("completion", "z"), "zsh")
    t:assert_eq(complete("--junit", ""), "")
end)

test("fish completes commands, flags and values", function(t)
    need(t, "fish")
    local dir = inner.run(t, project, "completion fish").dir
    local function complete(line)
        local text = shell(t, ("cd %s; "):format(inner.quote(dir)) .. with_provium("fish --no-config",
            ("source .out; complete -C %s | string split -f1 \\t"):format(inner.quote(line))))
        return (text:gsub("status %d+\n$", ""):gsub("\n", " "))
    end
    t:assert_eq(complete("provium pre"), "prepare ")
    t:assert_eq(complete("provium --accel "), "auto kvm tcg ")
    t:assert_eq(complete("provium prepare "), "default mine ")
    t:assert_eq(complete("provium list --timeo"), "")
    t:assert_contains(complete("provium --timeo"), "--timeout")
    t:assert_eq(complete("provium completion "), "bash fish zsh ")
end)

test("zsh gets the flags of the command that is typed", function(t)
    need(t, "zsh")
    local dir = inner.run(t, project, "completion zsh").dir
    local function arguments(words)
        return (shell(t, ("cd %s; "):format(inner.quote(dir)) .. with_provium("zsh -f", ([[
            autoload -Uz compinit; compinit -Du
            source ./.out
            _arguments() { print -rl -- "$@" }
            words=(provium %s ''); CURRENT=$#words; _provium]]):format(words))))
    end
    local list, run = arguments("list"), arguments("tests")
    t:assert_contains(run, "--accel=[how guests run (default\\: the profile's)]:auto|kvm|tcg:(auto kvm tcg)\n")
    t:assert_contains(run, "--timeout=")
    t:assert(not list:find("--timeout=", 1, true), "only those of the command")
    t:assert_contains(arguments("prepare"), "*:operand:{compadd -- $(provium completion profiles 2>/dev/null)}\n")
end)

test("the manual page names every flag and command, and formats", function(t)
    local man, help = inner.run(t, {}, "man"), inner.run(t, {}, "--help").out
    t:assert_eq(man.code, 0)
    local plain = man.out:gsub("\\%-", "-"):gsub("\\f.", "")
    for flag in help:gmatch("\n  [-%a, ]*%-%-([%w-]+)") do t:assert_contains(plain, "--" .. flag) end
    for _, command in ipairs {"list", "doctor", "merge", "prepare", "init", "completion"} do
        t:assert_contains(plain, ".SS provium " .. command)
    end
    if select(2, shell(t, "command -v groff")) == 0 then
        t:assert_eq((shell(t, ("groff -man -ww -z -Tutf8 %s/.out"):format(inner.quote(man.dir)))), "status 0\n")
    end
end)
