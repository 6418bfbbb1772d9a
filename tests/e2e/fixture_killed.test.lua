-- kill -9 of a whole run at any moment of a build: the cache holds the old entry, the new one or none, never a part.
local inner = require("helpers.inner")
local events = require("helpers.events")

provium.timeout = 240

local FILES = {
    ["provium.toml"] = '[provium]\nroots = ["."]\ncache_dir = "cache"\n',
    ["base.fixture.lua"] = [[
        local vm = provium:vm("base", "default", {memory = "256M"}):boot()
        vm:write_file("/made", "yes")
        return vm:snapshot()]],
    ["x.test.lua"] = [[
        test("x", function(t) t:assert_eq(provium:vm_fixture("base"):read_file("/made"), "yes") end)]],
    ["kill.sh"] = [[
        "$PROVIUM" -q x.test.lua > out 2>&1 &
        pid=$!
        sleep "$1"
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        ls -A cache > left 2>/dev/null
        true]],
}

local shell = inner.output

test("killed at random moments", function(t)
    local dir = inner.directory(t)
    local opts = {dir = dir}
    for name, text in pairs(FILES) do inner.write(dir .. "/" .. name, text) end
    local whole = 0 -- entries of earlier rounds
    for round = 1, 8 do
        local delay = 0.05 + math.random() * 4
        os.execute(("cd %s && PROVIUM=%s sh kill.sh %.2f"):format(dir, inner.quote(inner.binary()), delay))
        local left = shell("cat " .. dir .. "/left")
        t:log(("killed after %.2f s: %s"):format(delay, left:gsub("\n", " ")))
        if select(2, left:gsub("%.snap\n", "")) > whole then
            local result = inner.run(t, {}, "--save-events ev x.test.lua", opts)
            local list = events.read(dir .. "/ev")
            t:assert_eq(result.code, 0)
            t:assert_eq(#events.of(list, "fixture_build_started"), 0, "an entry that is there is whole")
            t:assert(not result.err:find("damaged"), result.err)
            -- The next round builds again, over what is there, or from nothing.
            whole = round % 2 == 0 and 0 or whole + 1
            inner.run(t, {}, whole == 0 and "fixture clean" or "fixture list", opts)
            inner.write(dir .. "/base.fixture.lua", FILES["base.fixture.lua"] .. (" -- %d"):format(round))
        end
    end
    local result = inner.run(t, {}, "x.test.lua", opts)
    t:assert_eq(result.code, 0)
    t:assert_eq(shell("ls -A " .. dir .. "/cache | grep -c '^.tmp'"), "0\n")
    os.execute("rm -rf " .. dir .. "/cache/*.hot")
    result = inner.run(t, {}, "--save-events ev x.test.lua", opts)
    t:assert_eq(result.code, 0)
    t:assert_eq(#events.of(events.read(dir .. "/ev"), "fixture_build_started"), 0, "the compressed form is whole too")
end)

test("a build that waits for a killed one builds itself", function(t)
    local files = {["go.sh"] = [[
        "$PROVIUM" -q x.test.lua > out1 2>&1 & first=$!
        while [ ! -s cache/*.snap.lock ] 2>/dev/null; do sleep 0.05; done
        "$PROVIUM" --save-events ev x.test.lua > out2 2>&1 & second=$!
        sleep 1
        kill -KILL $first
        wait $second]]}
    for name, text in pairs(FILES) do files[name] = text end
    local dir = inner.directory(t)
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    local ok = os.execute(("cd %s && PROVIUM=%s sh go.sh"):format(dir, inner.quote(inner.binary())))
    t:log(shell("cat " .. dir .. "/out2"))
    t:assert(ok, "the second run passes")
    local list = events.read(dir .. "/ev")
    local waiting = events.of(list, "fixture_build_waiting")
    t:assert_eq(#events.of(list, "fixture_build_done") + #events.of(list, "fixture_cache_hit"), 1)
    if #waiting > 0 then t:assert_eq(waiting[1].held_by_file, "x.test.lua") end
    t:assert_eq(inner.run(t, {}, "x.test.lua", {dir = dir}).code, 0) -- the start of a run sweeps
    t:assert_eq(shell("ls -A " .. dir .. "/cache | grep -c '^.tmp'"), "0\n")
end)
