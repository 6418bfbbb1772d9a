-- The two fixtures that the documents begin with, and their tests, word for word. The guest gets a package manager that
-- needs no network.
local inner = require("helpers.inner")
local events = require("helpers.events")

provium.timeout = 200

-- One file of a cpio archive in the newc format.
local function member(name, mode, content)
    local padded = function(s) return s .. ("\0"):rep(-#s % 4) end
    local head = ("070701" .. ("%08X"):rep(13)):format(0, mode, 0, 0, 1, 0, #content, 0, 0, 0, 0, #name + 1, 0)
    return padded(head .. name .. "\0") .. padded(content)
end

local APK = [[
#!/bin/sh
[ "$1" = add ] || exit 1
for name; do :; done
mkdir -p /usr/bin
printf '#!/bin/sh\necho this is %s\n' "$name" > "/usr/bin/$name"
chmod +x "/usr/bin/$name"
]]

local function initrd_with_apk()
    local link = io.popen(("d=$(dirname %s); while [ ! -e $d/dist/guest ] && [ $d != / ]; do d=$(dirname $d); done; " ..
        "cat ${PROVIUM_GUEST_DIR:-$d/dist/guest}/x86_64/initrd"):format(inner.quote(inner.binary())))
    local bundled = link:read("a")
    link:close()
    return bundled .. ("\0"):rep(-#bundled % 4) .. member("sbin/apk", 0x81ed, APK) .. member("TRAILER!!!", 0, "")
end

test("the fixtures of the documents, unmodified", function(t)
    local files = {
        ["provium.toml"] = '[provium]\nroots = ["tests"]\ncache_dir = "cache"\n' ..
            '[profiles.peios]\nkernel = "@bundled"\ninitrd = "initrd"\ncmdline = "console=hvc0 quiet"\n',
        ["initrd"] = initrd_with_apk(),
        ["tests/fixtures/base.fixture.lua"] = [[
-- tests/fixtures/base.fixture.lua
local vm = provium:vm("base", "peios"):boot()
vm:run("apk add --no-cache curl"):assert_ok()
return vm:snapshot()
]],
        ["tests/fixtures/cluster.fixture.lua"] = [[
-- tests/fixtures/cluster.fixture.lua
provium:bridge("lan")
local a = provium:vm("a", "peios"):boot()
local b = provium:vm("b", "peios"):boot()
provium.lan:attach({a, b})
return provium:snapshot()
]],
        ["tests/uses-base.test.lua"] = [[
-- tests/uses-base.test.lua
test("base fixture has curl preinstalled", function(t)
local vm = provium:vm_fixture("fixtures/base")
vm:run("which curl"):assert_ok()
end)
test("cluster fixture brings two VMs", function(t)
local cluster = provium:lab_fixture("fixtures/cluster")
cluster.a:run("ping -c 1 b.lan"):assert_ok()
end)
]],
        ["tests/labs.test.lua"] = [[
test("each call gives a lab of its own", function(t)
    local one = provium:lab_fixture("fixtures/cluster")
    local two = provium.lab_fixture("fixtures/cluster", {name = "other"})
    t:assert_eq(one:name(), "cluster")
    t:assert_eq(provium.other, two)
    t:assert_eq(table.concat(two:vm_names(), " "), "a b")
    one.a:shutdown()
    two.a:run("ping -c 1 b.lan"):assert_ok()
    t:assert_contains(t:assert_raises(function() provium:vm_fixture("fixtures/cluster") end),
        "vm_fixture needs a Snapshot, and it returned a LabSnapshot; its last line must be `return vm:snapshot()`")
end)]],
    }
    for round = 1, 2 do
        local result = inner.run(t, files, "--save-events ev tests/uses-base.test.lua", {dir = files.dir})
        files = {dir = result.dir}
        t:assert_eq(result.code, 0)
        local list = events.read(result.dir .. "/ev")
        local sources = {}
        for _, p in ipairs(events.of(list, "vm_spawned")) do sources[#sources + 1] = p.source end
        t:assert_eq(#events.of(list, "fixture_build_done"), round == 1 and 2 or 0)
        t:assert_eq(#events.of(list, "fixture_cache_hit"), round == 1 and 0 or 2)
        table.sort(sources)
        t:assert_eq(table.concat(sources, " "), (round == 1 and "boot boot boot " or "") .. "fixture fixture fixture")
    end
    t:assert_eq(inner.run(t, {}, "tests/labs.test.lua", files).code, 0)
    local shown = inner.run(t, {}, "fixture list", files)
    t:assert(shown.out:find("%d+%.%d%dMiB  vm   %x+  fixtures/base  ") and
             shown.out:find("%d+%.%d%dMiB  lab  %x+  fixtures/cluster  ") and
             shown.out:find("\n2 entries, %d+%.%d%dMiB\n"), shown.out)
    -- A damaged index of a lab is found too.
    os.execute(("cd %s/cache && sed -i s/lan/LAN/ *.lab/lab.json && rm -r *.hot"):format(files.dir))
    local result = inner.run(t, {}, "tests/uses-base.test.lua", files)
    t:assert_eq(result.code, 0)
    t:assert_contains(result.err, "the cached entry cannot be used and is built again: ")
end)
