-- Shards and what becomes of them together. No machine is booted.
local inner = require("helpers.inner")

local suite = {
    ["a.test.lua"] = 'test("good", {spec = "S"}, function(t) t:log("x") end) test("bad", function(t) t:fail("why") end)',
    ["b.test.lua"] = 'test("dies", function() os.execute("kill -KILL $PPID") end) test("after", function() end)',
    ["c.test.lua"] = "error('chunk')",
    ["d.test.lua"] = 'test("off", {skip = true}, function() end)',
    ["e.test.lua"] = "", ["f.test.lua"] = "", ["g.test.lua"] = "",
}

-- Runs the suite in `n` slices; the directory then holds s1, s2, …
local function shards(t, n, args)
    local dir = inner.directory(t)
    for name, text in pairs(suite) do inner.write(dir .. "/" .. name, text) end
    for i = 1, n do
        inner.run(t, {}, ("--shard %d/%d --seed 5 --save-events s%d %s ."):format(i, n, i, args or ""), {dir = dir})
    end
    return dir
end

local function verdicts(result)
    local out = {}
    for path, file in pairs(inner.json(result)) do
        out[#out + 1] = path .. " " .. file.status
        for _, case in ipairs(file.tests) do
            out[#out + 1] = ("%s %s %s %s %s"):format(path, case.name, case.status, case.message or case.reason, json.encode(case.meta))
        end
    end
    table.sort(out)
    return table.concat(out, "\n")
end

test("four shards merged are one run", function(t)
    local dir = shards(t, 4)
    local whole = inner.run(t, {}, "--seed 5 --json .", {dir = dir})
    local merged = inner.run(t, {}, "merge s1 s2 s3 s4 --json --junit m.xml --html m.html", {dir = dir})
    t:assert_eq(whole.code, 1)
    t:assert_eq(merged.code, 1)
    t:assert_eq(verdicts(merged), verdicts(whole))
    t:assert_contains(merged.err, "7 file(s); 1 passed, 3 failed, 1 skipped; ")
    local page = io.open(dir .. "/m.html"):read("a")
    t:assert_contains(page, "shard 1/1")
    t:assert(io.open(dir .. "/m.xml"):read("a"):find('<testsuites name="provium" tests="7" failures="3" errors="2"'), "JUnit")
end)

test("what does not fit together is named", function(t)
    local dir = shards(t, 3)
    local function merge(args) return inner.run(t, {}, "merge " .. args, {dir = dir}) end
    local missing = merge("s1 s3")
    t:assert_eq(missing.code, 2)
    t:assert_contains(missing.err, "missing: shard 2/3")
    local partly = merge("--allow-missing s1 s3")
    t:assert_contains(partly.err, "missing: shard 2/3")
    t:assert(partly.code < 2, "merged")
    t:assert_contains(merge("s1 s2 s2").err, "`s2` and `s2` are both shard 2/3")
    inner.write(dir .. "/new.test.lua", "")
    inner.run(t, {}, "--shard 2/3 --save-events other .", {dir = dir})
    t:assert_contains(merge("s1 other s3").err, "`s1` (shard 1/3) and `other` (shard 2/3) are not of one whole")
    t:assert_contains(merge("a.test.lua").err, "no event stream")
    t:assert_eq(merge("").code, 2)
    t:assert_eq(merge("--shard 1/2 s1").code, 2)
end)

test("a cut stream counts as far as it goes", function(t)
    local dir = shards(t, 1)
    local bytes = io.open(dir .. "/s1", "rb"):read("a")
    for _, share in ipairs {0.3, 0.5, 0.9} do
        inner.write(dir .. "/cut", bytes:sub(1, math.floor(#bytes * share)))
        local result = inner.run(t, {}, "merge cut", {dir = dir})
        t:assert_eq(result.code, 2)
        t:assert(result.err:find("stream cut after %d+ frames at byte %d+"), "says where")
    end
    inner.write(dir .. "/cut", bytes .. "\xff\xff\xff\xff garbage")
    t:assert_contains(inner.run(t, {}, "merge cut", {dir = dir}).err, "stream cut after")
end)

test("a stream of another protocol is read as far as it is understood, and said so", function(t)
    local dir = shards(t, 1)
    local bytes = inner.read(dir .. "/s1")
    local changed, count = bytes:gsub("protocol_version.", "protocol_version\x7f", 1)
    t:assert_eq(count, 1)
    inner.write(dir .. "/other", (changed:gsub("claim_released", "claim_releasee"):gsub("pool_state", "pool_statf")))
    local result = inner.run(t, {}, "merge other --json", {dir = dir})
    t:assert_eq(result.code, 1)
    t:assert(result.err:find("`other`: protocol 127, this provium speaks %d+; [1-9]%d* frames of unknown kinds skipped"), "warned once")
    t:assert_eq(verdicts(result), verdicts(inner.run(t, {}, "merge s1 --json", {dir = dir})))
end)

test("an interrupted shard makes the whole interrupted", function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", 'test("waits", function() os.execute("sleep 60") end)')
    os.execute(("cd %s && setsid timeout -s INT 2 %s --save-events s1 x.test.lua >/dev/null 2>&1"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local result = inner.run(t, {}, "merge s1", {dir = dir})
    t:assert_eq(result.code, 130)
    t:assert_contains(result.out, "interrupted")
end)

test("JSON of four shards merges like their streams", function(t)
    local dir = shards(t, 4)
    for i = 1, 4 do os.execute(("cd %s && %s --seed 18446744073709551615 --shard %d/4 --json . >j%d 2>/dev/null"):format(inner.quote(dir), inner.quote(inner.binary()), i, i)) end
    local streams = inner.run(t, {}, "merge s1 s2 s3 s4 --json", {dir = dir})
    local lines = inner.run(t, {}, "merge j1 j2 j3 j4 --json --junit m.xml", {dir = dir})
    t:assert_eq(lines.code, 1)
    t:assert_eq(verdicts(lines), verdicts(streams))
    t:assert_contains(lines.out, '"seed":18446744073709551615,')
    t:assert_contains(io.open(dir .. "/m.xml"):read("a"), '<testsuites name="provium" tests="7" failures="3" errors="2"')
    t:assert_eq(verdicts(inner.run(t, {}, "merge s1 j2 s3 j4 --json", {dir = dir})), verdicts(streams), "mixed")
    t:assert_contains(inner.run(t, {}, "merge j1 j1 j3 j4", {dir = dir}).err, "are both shard 1/4")
    inner.write(dir .. "/bad", '{"path": "x"}\n{"path": 3}\n')
    t:assert_contains(inner.run(t, {}, "merge bad", {dir = dir}).err, "line 2 is no result of a file")
    inner.write(dir .. "/odd", '{"path": "x", "tests": [{"name": 3, "status": "failed", "log": {}, "meta": 7}, null, 4], "shard": "1/1", "input_hash": ""}\n')
    t:assert_contains(inner.run(t, {}, "merge odd --json --junit o.xml", {dir = dir}).out, '"status":"failed"')
end)

test("--events is one stream of all, --durations those of all files", function(t)
    local dir = shards(t, 4)
    local result = inner.run(t, {}, "merge s1 s2 s3 s4 --events all --durations d.json", {dir = dir})
    t:assert_eq(result.code, 1)
    local events = require("helpers.events")
    local list = events.read(dir .. "/all")
    t:assert_eq(list[1].kind, "run_started")
    t:assert_eq(list[1].payload.shard, "1/1")
    t:assert_eq(list[1].payload.files, 7)
    t:assert_eq(list[#list].kind, "run_completed")
    t:assert_eq(list[#list].payload.failed, 3)
    t:assert_eq(#events.of(list, "run_started"), 1)
    t:assert_eq(#events.of(list, "file_completed"), 7)
    local dispatched, last = false, 0
    for _, event in ipairs(list) do
        dispatched = dispatched or event.kind == "file_dispatched"
        t:assert(event.kind ~= "file_discovered" or not dispatched, "discovered first")
        t:assert(event.kind == "file_discovered" or event.kind == "run_started" or event.ts >= last, "in time")
        if event.kind ~= "file_discovered" then last = event.ts end
    end
    t:assert_eq(verdicts(inner.run(t, {}, "merge all --json", {dir = dir})), verdicts(inner.run(t, {}, "merge s1 s2 s3 s4 --json", {dir = dir})))
    local durations = json.decode(io.open(dir .. "/d.json"):read("a"))
    t:assert(durations["a.test.lua"] >= 0 and durations["g.test.lua"] >= 0, "every file")
    local coverage = inner.binary():gsub("[^/]*$", "provium-coverage")
    local text = io.popen(("%s --from %s/all 2>&1"):format(inner.quote(coverage), inner.quote(dir))):read("a")
    t:assert(text:find("S +1 +0 +0"), "coverage of all")
    t:assert_eq(inner.run(t, {["j"] = '{"path":"x","shard":"1/1","input_hash":"","tests":[],"status":"passed"}'}, "merge j --events e").code, 2)
end)

test("JUnit of four shards merges to the same verdicts", function(t)
    local dir = shards(t, 4)
    for i = 1, 4 do os.execute(("cd %s && %s --seed 5 --shard %d/4 --junit x%d.xml . >/dev/null 2>&1"):format(inner.quote(dir), inner.quote(inner.binary()), i, i)) end
    local result = inner.run(t, {}, "merge x1.xml x2.xml x3.xml x4.xml --json --junit m.xml", {dir = dir})
    local streams = inner.run(t, {}, "merge s1 s2 s3 s4 --json", {dir = dir})
    t:assert_eq(result.code, 1)
    local function outcomes(run)
        local out = {}
        for path, file in pairs(inner.json(run)) do
            out[#out + 1] = path .. " " .. file.status
            for _, case in ipairs(file.tests) do
                out[#out + 1] = ("%s %s %s %s"):format(path, case.name, case.status, (case.message or case.reason or ""):match("^[^\n]*"))
            end
        end
        table.sort(out)
        return table.concat(out, "\n")
    end
    t:assert_eq(outcomes(result), outcomes(streams))
    local files = inner.json(result)
    t:assert_eq(files["a.test.lua"].tests[1].meta.spec, "S")
    t:assert_eq(files["a.test.lua"].tests[1].log[1], "x")
    t:assert_contains(files["c.test.lua"].chunk_error, "chunk")
    t:assert_contains(files["b.test.lua"].detail, "worker killed by SIGKILL")
    t:assert_eq(os.execute(("xmllint --noout %s/m.xml"):format(inner.quote(dir))), true)
    for _, text in ipairs {"<", "<a", "<html><body></body></html>", "<?xml?><!-- provium shard 1/1 hash x seed 1 --><testsuite name=\"x><"} do
        inner.write(dir .. "/bad.xml", text)
        t:assert_contains(inner.run(t, {}, "merge bad.xml", {dir = dir}).err, "no JUnit XML of provium")
    end
end)

test("attempts, repeats, what was flaky and properties survive JSON and JUnit", function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", [[
        test("flaky", {spec = "S", n = 3}, function(t)
            local seen = io.open("seen")
            if not seen then io.open("seen", "w"):close() t:fail("first time") end
        end)]])
    local whole = inner.run(t, {}, "--retries 1 --repeat 2 -j1 --junit x.xml --json x.test.lua", {dir = dir})
    t:assert_eq(whole.code, 0)
    inner.write(dir .. "/x.json", whole.out)
    for _, file in ipairs {"x.xml", "x.json"} do
        local merged = inner.run(t, {}, ("merge %s --json --junit again-%s.xml"):format(file, file), {dir = dir})
        local got = inner.json(merged)
        t:assert_eq(merged.code, 0)
        t:assert_eq(got["x.test.lua#1"].attempts, 2, file)
        t:assert_eq(got["x.test.lua#1"]["repeat"], 1, file)
        t:assert_eq(got["x.test.lua#2"]["repeat"], 2, file)
        local case = got["x.test.lua#1"].tests[1]
        t:assert(case.flaky, file)
        t:assert_contains(case.reason, "first time")
        t:assert_eq(case.meta.spec, "S")
        t:assert_eq(tostring(case.meta.n), "3")
        local xml = inner.read(("%s/again-%s.xml"):format(dir, file))
        t:assert_contains(xml, '<property name="attempts" value="2"/>')
        t:assert_contains(xml, '<flakyFailure message="x.test.lua:3: first time" type="flaky">')
    end
end)

test("coverage of four shards is that of one run", function(t)
    local dir = shards(t, 4)
    local coverage = inner.quote((inner.binary():gsub("[^/]*$", "provium-coverage")))
    inner.write(dir .. "/names", "S\nT\n")
    local function cover(from, to) os.execute(("cd %s && %s --from %s --by spec --by none --expect names --json -o %s 2>/dev/null"):format(inner.quote(dir), coverage, from, to)) end
    for i = 1, 4 do cover("s" .. i, "c" .. i) end
    inner.run(t, {}, "merge s1 s2 s3 s4 --events all", {dir = dir})
    cover("all", "c")
    local merged = inner.run(t, {}, "merge c1 c2 c3 c4 --json --html c.html", {dir = dir})
    t:assert_eq(merged.code, 0)
    t:assert_eq(merged.out, inner.read(dir .. "/c"))
    t:assert_contains(merged.out, '"uncovered":["T"]')
    t:assert(inner.run(t, {}, "merge c1 c2 c3 c4", {dir = dir}).out:find("S +1 +0 +0\n"), "text")
    t:assert_contains(inner.read(dir .. "/c.html"), "by spec")
    t:assert_contains(inner.run(t, {}, "merge c1 c1", {dir = dir}).err, "is in `c1` and in `c1`")
    t:assert_contains(inner.run(t, {}, "merge c1 s2", {dir = dir}).err, "`s2`: no JSON of provium-coverage")
    inner.write(dir .. "/bad", '{"key": "k", "buckets": [3]}\n')
    t:assert_contains(inner.run(t, {}, "merge bad", {dir = dir}).err, "`bad`: no JSON of provium-coverage")
end)
