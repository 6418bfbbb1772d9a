-- A fixture is used again while everything that it is made from is the same, and built again when one of those changes.
local inner = require("helpers.inner")

provium.timeout = 240

local CONFIG = '[provium]\nroots = ["."]\ncache_dir = "cache"\n[profiles.small]\nkernel = "@bundled"\ninitrd = "@bundled"\n' ..
    'memory = "128M"\ncmdline = "console=ttyS0 quiet panic=-1"\n'

local QUICK = 'if io.open("quick") then error("built again") end\n'

local FILES = {
    ["provium.toml"] = CONFIG,
    ["base.fixture.lua"] = QUICK .. [[
        local vm = provium:vm("base", "small"):boot()
        vm:push_file("deep/pushed.txt", "/pushed")
        vm:push_file("loose.txt", "/loose", {auto_dep = false})
        return vm:snapshot()]],
    ["setups/top.fixture.lua"] = QUICK .. [[
        local helper = require("lib.helper")
        local vm = provium:vm_fixture("base")
        provium:depends_on_file("../host.txt")
        vm:write_file("/made", helper.text)
        return vm:snapshot()]],
    ["lib/helper.lua"] = 'require("lib.deeper") return {text = "made"}',
    ["lib/deeper.lua"] = "return 1",
    ["deep/pushed.txt"] = "pushed", ["loose.txt"] = "loose", ["host.txt"] = "host", ["unrelated.txt"] = "x",
    ["x.test.lua"] = [[
        test("x", function(t) t:assert_eq(provium:vm_fixture("setups/top"):read_file("/made"), "made") end)]],
}

test("what changes, and what does not", function(t)
    local first = inner.run(t, FILES, "x.test.lua")
    t:assert_eq(first.code, 0)
    local opts = {dir = first.dir}
    local function sh(command) return inner.output(("cd %s && %s"):format(inner.quote(first.dir), command)) end
    inner.write(first.dir .. "/quick", "")
    local function after(change, stale)
        sh("cp -a . ../$(basename $PWD).kept; mv ../$(basename $PWD).kept .kept; rm -rf .kept/cache")
        sh(change)
        local result = inner.run(t, {}, "x.test.lua", opts)
        t:assert_eq(result.code, stale and 1 or 0, change)
        if stale then t:assert_contains(result.out, "built again") end
        sh("cp -a .kept/. . && rm -rf .kept")
    end
    after("true", false)
    after("echo changed >unrelated.txt; touch x.test.lua loose.txt", false)
    after("touch base.fixture.lua setups/top.fixture.lua lib/helper.lua", false) -- texts count by content
    after("sed -i 's/quiet/quiet loglevel=3/' provium.toml", false)
    after("echo '-- changed' >>setups/top.fixture.lua", true)
    after("echo '-- changed' >>base.fixture.lua", true)
    after("echo '-- changed' >>lib/helper.lua", true)
    after("echo '-- changed' >>lib/deeper.lua", true)
    after("touch -d '1 hour ago' host.txt", true)
    after("touch -r host.txt stamp && echo more >>host.txt && touch -r stamp host.txt", true)
    after("rm host.txt", true)
    after("touch -d '1 hour ago' deep/pushed.txt", true)
    after("printf '[profiles.another]\\nkernel = \"@bundled\"\\ninitrd = \"@bundled\"\\ncmdline = \"x\"\\n' >>provium.toml", true)
    after("sed -i 's/^memory/cpu = \"qemu64\"\\nmemory/' provium.toml", true)
    after("true", false)
end)
