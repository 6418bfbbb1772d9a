-- Fixtures on top of others are kept as what differs: small, restored like any, never without what they lie on.
local inner = require("helpers.inner")
local events = require("helpers.events")

provium.timeout = 240

local shell = inner.output
local opts -- the directory that the first test makes for the others

local FILES = {
    ["provium.toml"] = '[provium]\nroots = ["."]\ncache_dir = "cache"\n',
    ["base.fixture.lua"] = [[
        local vm = provium:vm("base", "default", {memory = "256M"}):boot()
        vm:run("head -c 8000000 /dev/urandom >/noise"):assert_ok()
        vm:write_file("/made", io.open("version"):read("a"))
        return vm:snapshot()]],
    ["top.fixture.lua"] = [[
        local vm = provium:vm_fixture("base")
        vm:run("echo by top >>/made"):assert_ok()
        return vm:snapshot()]],
    ["pair.fixture.lua"] = [[
        provium:vm_fixture("top", {name = "a"})
        provium:vm_fixture("base", {name = "b"})
        return provium:snapshot()]],
    ["version"] = "first\n",
    ["top.test.lua"] = [[
        test("top", function(t) t:assert_eq(provium:vm_fixture("top"):read_file("/made"), "first\nby top\n") end)]],
    ["pair.test.lua"] = [[
        test("pair", function(t)
            local lab = provium:lab_fixture("pair")
            t:assert_eq(lab.a:read_file("/made"), "first\nby top\n")
            t:assert_eq(lab.b:read_file("/made"), "first\n")
            lab.a:run("md5sum /noise"):assert_ok()
        end)]],
}

local function sh(command) return shell(("cd %s && %s"):format(inner.quote(opts.dir), command)) end

-- Runs a test; gives the names of the fixtures that it built.
local function built_by(t, args, code)
    local result = inner.run(t, {}, "--save-events ev " .. args, opts)
    t:assert_eq(result.code, code or 0)
    local names = {}
    for _, event in ipairs(events.of(events.read(opts.dir .. "/ev"), "fixture_build_done")) do names[#names + 1] = event.path end
    return table.concat(names, " "), result
end

-- Size in bytes of an entry on the disk, and its key.
local function entry(name)
    local key = sh("grep -l '\"" .. name .. "\"' cache/*.meta"):match("(%x+)%.meta")
    return tonumber(sh(("du -sB1 cache/%s.snap cache/%s.lab 2>/dev/null"):format(key, key)):match("^%d+")), key
end

test("only what differs is kept", {timeout = "3m"}, function(t)
    opts = {dir = shell("mktemp -d /tmp/provium-e2e-XXXXXX"):match("[^\n]+")}
    for name, text in pairs(FILES) do inner.write(opts.dir .. "/" .. name, text) end
    t:assert_eq(built_by(t, "pair.test.lua"), "base top pair")
    local base, top, pair = entry("base"), entry("top"), entry("pair")
    t:log(("base %.1f MiB, top %.1f MiB, pair %.1f MiB"):format(base / 2^20, top / 2^20, pair / 2^20))
    t:assert(top < base / 2 and pair < base, "deltas are small")
    t:assert_eq(built_by(t, "."), "")
end)

test("without their hot forms they are put together again", function(t)
    sh("rm -r cache/*.hot")
    t:assert_eq(built_by(t, "pair.test.lua"), "")
    sh("rm -r cache/*.hot")
    t:assert_eq(built_by(t, "top.test.lua"), "")
    local _, key = entry("base")
    t:assert_eq(sh("ls -d cache/" .. key .. ".hot 2>/dev/null"), "", "nobody asked for base")
end)

test("the cache is cut from the top", function(t)
    -- What lies on others was used longest ago.
    for age, name in ipairs{"base", "pair", "top"} do
        local _, key = entry(name)
        sh(("for f in cache/%s.*; do touch -ad '%d days ago' $f; done"):format(key, age))
    end
    sh("cp -a cache kept")
    local base, base_key = entry("base")
    local function left_with(limit)
        sh("rm -rf cache && cp -a kept cache")
        inner.write(opts.dir .. "/provium.toml", (FILES["provium.toml"]:gsub('"cache"\n', '"cache"\ncache_max_size = "' .. limit .. 'K"\n')))
        inner.write(opts.dir .. "/nothing.test.lua", "")
        t:assert_eq(built_by(t, "nothing.test.lua"), "")
        return sh("cd cache && ls -d *.snap *.lab 2>/dev/null")
    end
    local names = left_with(math.floor(base / 1024) + 40)
    t:assert_eq(names, base_key .. ".snap\n")
    names = left_with(math.floor(base / 1024) - 40)
    t:assert_eq(names, "")
    inner.write(opts.dir .. "/provium.toml", FILES["provium.toml"])
    sh("rm -rf cache && mv kept cache")
end)

test("a base that was built again or is gone leaves nothing to lie on", function(t)
    local _, key = entry("base")
    sh("cp -a cache kept")
    inner.run(t, {}, "fixture rebuild base", opts)
    t:assert_eq(built_by(t, "top.test.lua"), "", "its hot form is whole")
    sh("rm -r cache/*.hot")
    local names, result = built_by(t, "top.test.lua")
    t:assert_eq(names, "top")
    t:assert_contains(result.err, ("its base `%s.snap` was built again"):format(key))
    sh("rm -rf cache && mv kept cache && rm -r cache/*.hot cache/" .. key .. ".snap")
    t:assert_contains(inner.run(t, {}, "fixture stale", opts).out, "base\npair\ntop\n3 stale")
    names, result = built_by(t, "top.test.lua")
    t:assert_eq(names, "base top")
    t:assert_contains(result.err, ("its base `%s.snap` is gone"):format(key))
    sh("rm -r " .. opts.dir)
end)
