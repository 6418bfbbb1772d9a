-- Which files run, how often and in which order. No machine is booted.
local inner = require("helpers.inner")

local function lines(text)
    local out = {}
    for line in text:gmatch("[^\n]+") do out[#out + 1] = line end
    return out
end

-- A cache directory of its own, so that no other run's records count.
local function run(t, files, args, opts)
    opts = opts or {}
    opts.env = "XDG_CACHE_HOME=cache " .. (opts.env or "")
    return inner.run(t, files, "" .. args, opts)
end

local function list(t, files, args, opts)
    opts = opts or {}
    opts.env = "XDG_CACHE_HOME=cache"
    return lines(inner.run(t, files, "list " .. args, opts).out)
end

local function many(n)
    local files = {}
    for i = 1, n do files[("t%02d.test.lua"):format(i)] = 'test("x", function() end)' end
    return files
end

test("--retries marks what passes then as flaky", function(t)
    local files = {
        ["flaky.test.lua"] = [[
            test("steady", function() end)
            test("flaky", function(t)
                if not io.open("seen") then io.open("seen", "w"):close() t:fail("first time") end
            end)]],
        ["bad.test.lua"] = 'test("bad", function(t) io.open("tries", "a"):write("x"):close() t:fail("always") end)',
    }
    local result = run(t, files, "--json --retries 2 .")
    local got = inner.json(result)
    t:assert_eq(result.code, 1)
    t:assert_eq(got["flaky.test.lua"].status, "passed")
    t:assert_eq(got["flaky.test.lua"].attempts, 2)
    t:assert_eq(got["flaky.test.lua"].tests[1].flaky, false)
    t:assert_eq(got["flaky.test.lua"].tests[2].flaky, true)
    t:assert_eq(got["bad.test.lua"].attempts, 3)
    t:assert_eq(io.open(result.dir .. "/tries"):read("a"), "xxx")
    t:assert_contains(result.err, "2 passed, 1 failed, 0 skipped, 1 flaky; ")
    t:assert_eq(run(t, files, "flaky.test.lua", {dir = result.dir}).code, 0)
end)

test("--repeat names each run, any failure counts", function(t)
    local result = run(t, {["x.test.lua"] = 'test("a", function(t) t:assert(not io.open("seen")) io.open("seen", "w"):close() end)'},
        "--json -j1 --repeat 3 x.test.lua")
    local got = inner.json(result)
    t:assert_eq(result.code, 1)
    t:assert_eq(got["x.test.lua#1"].status, "passed")
    t:assert_eq(got["x.test.lua#3"].status, "failed")
    t:assert_eq(got["x.test.lua#3"]["repeat"], 3)
end)

test("--shuffle permutes files and tests by the seed alone", function(t)
    local files = many(12)
    local dir = inner.directory(t)
    local one = list(t, files, "--shuffle --seed 7", {dir = dir})
    t:assert_eq(table.concat(one), table.concat(list(t, {}, "--shuffle=files --seed 7", {dir = dir})))
    t:assert(table.concat(one) ~= table.concat(list(t, {}, "--shuffle --seed 8", {dir = dir})), "another seed")
    local plain = list(t, {}, "--shuffle=tests --seed 7", {dir = dir})
    t:assert_eq(plain[1], "t01.test.lua")
    table.sort(one)
    t:assert_eq(table.concat(one), table.concat(plain))
    local source = {}
    for i = 1, 10 do source[i] = ('test("t%d", function() end)'):format(i) end
    local function order(args)
        local result = run(t, {["x.test.lua"] = table.concat(source, "\n")}, "--json x.test.lua " .. args)
        local names = {}
        for i, case in ipairs(inner.json(result)["x.test.lua"].tests) do names[i] = case.name end
        return table.concat(names, " "), result
    end
    local mixed, result = order("--shuffle=tests --seed 3")
    t:assert(mixed ~= order(""), "shuffled")
    t:assert_eq(mixed, (order("--shuffle=all --seed 3")))
    t:assert_contains(result.err, "seed 3")
end)

test("--rerun-failed takes the newest run with failures", function(t)
    local files = many(3)
    files["t02.test.lua"] = 'test("x", function(t) t:assert(io.open("fixed")) end)'
    local dir = inner.directory(t)
    local none = run(t, files, "--rerun-failed .", {dir = dir})
    t:assert_eq(none.code, 0)
    t:assert_contains(none.err, "no run has failed yet")
    t:assert_eq(run(t, {}, ".", {dir = dir}).code, 1)
    t:assert_eq(table.concat(list(t, {}, "--rerun-failed .", {dir = dir})), "t02.test.lua")
    inner.write(dir .. "/fixed", "")
    t:assert_eq(run(t, {}, "--rerun-failed .", {dir = dir}).code, 0)
    t:assert_eq(#list(t, {}, "--rerun-failed .", {dir = dir}), 1, "a clean run leaves the record")
    t:assert_eq(run(t, {}, ".", {dir = dir, env = "PROVIUM_RERUN_STATE=other.json"}).code, 0)
end)

test("--since compares modification times", function(t)
    local dir = inner.directory(t)
    list(t, many(3), ".", {dir = dir})
    os.execute(("cd %s && touch -d '1 hour ago' t01.test.lua && touch -d '30 min ago' mark"):format(inner.quote(dir)))
    t:assert_eq(table.concat(list(t, {}, "--since mark .", {dir = dir}), " "), "t02.test.lua t03.test.lua")
    t:assert_eq(inner.run(t, {}, "list --since nothing .", {dir = dir}).code, 2)
end)

test("shards are disjoint, exhaustive and balanced by recorded durations", function(t)
    local dir = inner.directory(t)
    list(t, many(10), ".", {dir = dir})
    inner.write(dir .. "/provium-durations.json", '{"t01.test.lua": 100, "t02.test.lua": 60, "t03.test.lua": 40, "t04.test.lua": 1}')
    local seen, total = {}, 0
    for i = 1, 3 do
        for _, path in ipairs(list(t, {}, ("--shard %d/3 ."):format(i), {dir = dir})) do
            t:assert_eq(seen[path], nil, path)
            seen[path], total = i, total + 1
        end
    end
    t:assert_eq(total, 10)
    -- Unknown ones count as the median, 50: 100 | 60 50 | 50 50, then the rest to whoever has least.
    t:assert(seen["t01.test.lua"] ~= seen["t02.test.lua"], "the two longest are apart")
    local bad = inner.run(t, {}, "list --shard 4/3 .", {dir = dir})
    t:assert_eq(bad.code, 2)
    t:assert_contains(bad.err, "expected I/N with I from 1 to N")
end)

test("equal inputs have equal hashes; a run records durations", function(t)
    local dir = inner.directory(t)
    local hashes = {}
    for i = 1, 2 do
        local result = run(t, many(4), ("--json --shard %d/2 --durations d%d.json ."):format(i, i), {dir = dir})
        for _, file in pairs(inner.json(result)) do
            hashes[file.input_hash] = true
            t:assert_eq(file.shard, ("%d/2"):format(i))
        end
    end
    t:assert(next(hashes) and not next(hashes, (next(hashes))), "one hash")
    local recorded = json.decode(io.open(dir .. "/d1.json"):read("a"))
    t:assert(recorded["t01.test.lua"] >= 0, "recorded")
    t:assert_eq(run(t, {["bad.json"] = "{"}, "--durations bad.json .", {dir = dir}).code, 2)
end)

test("--fail-fast counts what was not run", function(t)
    local files = many(5)
    files["t02.test.lua"] = "error('no')"
    local result = run(t, files, "-j1 --fail-fast --save-events ev .")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "2 file(s); 1 passed, 0 failed, 0 skipped, 3 file(s) not run; ")
    local events = require("helpers.events").read(result.dir .. "/ev")
    t:assert_eq(events[#events].payload.not_run, 3)
end)

test("runs at the same time share their records", function(t)
    local dir = inner.directory(t)
    for i = 1, 6 do
        inner.write(("%s/p%d/x%d.test.lua"):format(dir, i, i), 'test("x", function(t) t:fail("no") end)')
    end
    os.execute(("cd %s && for i in 1 2 3 4 5 6; do XDG_CACHE_HOME=$PWD/cache %s --durations d.json p$i >out$i 2>err$i & done; wait"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local shared, own = json.decode(io.open(dir .. "/d.json"):read("a")), json.decode(io.open(dir .. "/cache/provium/durations.json"):read("a"))
    local canonical = io.popen("realpath " .. inner.quote(dir)):read("l")
    for i = 1, 6 do
        t:assert(shared[("p%d/x%d.test.lua"):format(i, i)], "all in the shared record")
        t:assert(own[("%s/p%d/x%d.test.lua"):format(canonical, i, i)], "all in the user's")
    end
    t:assert_eq(#json.decode(io.open(dir .. "/cache/provium/rerun.json"):read("a")).failed, 1, "the newest run's")
end)
