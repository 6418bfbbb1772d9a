-- The examples that the project's documents began with, as they stand.
local inner = require("helpers.inner")

local WORKED = [[
[provium]
roots = ["tests", "internal-tests"]
cache_dir = "/srv/provium-cache"
cache_max_size = "200G"
[profiles.peios]
kernel = "/srv/peios-builds/latest/bzImage"
initrd = "/srv/peios-builds/latest/initrd.cpio.gz"
cmdline = "console=hvc0 quiet panic=1"
guest_os = "peios"
[profiles.peios-mainline]
kernel = "/srv/peios-builds/mainline/bzImage"
initrd = "/srv/peios-builds/mainline/initrd.cpio.gz"
cmdline = "console=hvc0 quiet panic=1"
guest_os = "peios"
[profiles.peios-debug]
kernel = "/srv/peios-builds/debug/bzImage"
initrd = "/srv/peios-builds/debug/initrd.cpio.gz"
cmdline = "console=hvc0 debug loglevel=7 nokaslr panic=1"
guest_os = "peios"
]]

test("the worked configuration is valid; its files are looked for only at a boot", function(t)
    local files = {["provium.toml"] = WORKED, ["tests/a.test.lua"] = 'test("a", function() end)',
                   ["internal-tests/b.test.lua"] = 'test("b", function() provium:vm("v", "peios-debug"):boot() end)'}
    t:assert_eq(inner.run(t, files, "list").out, "tests/a.test.lua\ninternal-tests/b.test.lua\n")
    local result = inner.run(t, files, "")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "profile `peios-debug`: kernel `/srv/peios-builds/debug/bzImage`: No such file or directory")
end)

test("claims and the federation of labs", {timeout = "2m"}, function(t)
    local result = inner.run(t, {
        ["provium.toml"] = '[profiles.peios]\nkernel = "@bundled"\ninitrd = "@bundled"\ncmdline = "console=ttyS0 quiet panic=-1"\n',
        ["claim.test.lua"] = 'provium:claim({memory = "4G", cpus = 1})\n\ntest("…", function(t) end)\ntest("… …", function(t) end)\n',
        ["labs.test.lua"] = [[
local dc1 = provium:lab("dc1")
dc1:vm("a", "peios")
dc1:vm("b", "peios")
dc1:bridge("lan"):attach({dc1.a, dc1.b})
dc1:boot()
test("cluster fixture brings two VMs", function(t)
    dc1.a:run("ping -c 1 b.lan"):assert_ok()
end)]],
    }, "")
    t:assert_eq(result.code, 0)
end)
