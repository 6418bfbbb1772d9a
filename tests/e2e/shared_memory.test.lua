-- Machines of one fixture share the pages of its memory that they have not changed: counted, by the host's books.
local inner = require("helpers.inner")

provium.timeout = 240

local FILES = {
    ["provium.toml"] = '[provium]\nroots = ["."]\ncache_dir = "cache"\n',
    ["base.fixture.lua"] = [[
        local vm = provium:vm("base", "default", {memory = "256M"}):boot()
        vm:run("head -c 16000000 /dev/urandom >/tmp/noise"):assert_ok()
        return vm:snapshot()]],
    ["x.test.lua"] = [[
        -- What the host counts for the mappings of the fixture's memory in this file's QEMUs, in KiB.
        local function books()
            local pipe = io.popen("for p in $(cat /proc/$PPID/task/*/children); do " ..
                "awk '/vm.snap/ {on = 1} /^VmFlags/ {on = 0} on && /^(Rss|Pss|Private_Dirty):/ {print $1, $2}' /proc/$p/smaps 2>/dev/null; done")
            local sum = {Rss = 0, Pss = 0, Private_Dirty = 0}
            for line in pipe:lines() do
                local key, kilobytes = line:match("(%S+): (%d+)")
                sum[key] = sum[key] + tonumber(kilobytes)
            end
            pipe:close()
            return sum
        end
        test("x", function(t)
            local rows = {}
            for n = 1, 4 do
                provium:vm_fixture("base"):run("md5sum /tmp/noise"):assert_ok()
                rows[n] = books()
                t:log(("%d machines: %s"):format(n, json.encode(rows[n])))
            end
            local one, four = rows[1], rows[4]
            t:assert(one.Rss > 16 * 1024, "each touches all of it")
            t:assert(four.Rss > 3.5 * one.Rss, "and so does every further one")
            t:assert(four.Pss - four.Private_Dirty < 1.3 * (one.Pss - one.Private_Dirty), "what is not changed is there once")
            t:assert(four.Private_Dirty < 0.2 * four.Rss, "what they change is little")
            t:assert(four.Pss < 0.6 * four.Rss, "together they take little more than half")
        end)]],
}

test("the pages of one fixture are there once", function(t)
    local result = inner.run(t, FILES, "x.test.lua")
    t:assert_eq(result.code, 0)
end)
