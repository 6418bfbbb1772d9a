-- The scheduler: claims before dispatch, order, backfill, deadlocks, clocks. Machines are booted by the last test only.
local inner = require("helpers.inner")
local events = require("helpers.events")

local MIB = 1 << 20

local function run(t, files, args)
    local result = inner.run(t, files, "--psi-threshold 0 --save-events ev " .. args)
    return result, events.read(result.dir .. "/ev")
end

-- Positions in the stream: at[kind][path].
local function positions(list)
    local at = {}
    for i, event in ipairs(list) do
        at[event.kind] = at[event.kind] or {}
        if event.payload.path then at[event.kind][event.payload.path] = i end
    end
    return at
end

local function claiming(memory, cpus, seconds)
    return ('provium:claim{memory = "%s", cpus = %d}\ntest("x", function() os.execute("sleep %s") end)'):format(memory, cpus, seconds or 0)
end

local OPEN = 'test("x", function() end)'

test("a claim at file scope is reserved before the file starts", function(t)
    local result, list = run(t, {["a.test.lua"] = claiming("150M", 1, 0.3), ["b.test.lua"] = claiming("150M", 1), ["c.test.lua"] = OPEN},
        "-j3 --mem 300M --cpus 4 .")
    t:assert_eq(result.code, 0)
    local found, dispatched = events.of(list, "file_discovered"), events.of(list, "file_dispatched")
    t:assert_eq(found[1].declared_claim.memory_bytes, 150 * MIB)
    t:assert_eq(found[1].declared_claim.cpus, 1)
    t:assert_eq(found[3].declared_claim, nil)
    t:assert_eq(dispatched[1].reservation.memory_bytes, 200 * MIB)
    t:assert_eq(dispatched[1].reservation.cpus, 1)
    t:assert_eq(dispatched[3].reservation.memory_bytes, 50 * MIB)
    local at = positions(list)
    t:assert(at.file_completed["a.test.lua"] < at.file_dispatched["b.test.lua"], "one after the other")
    t:assert(at.file_dispatched["b.test.lua"] < at.file_dispatched["c.test.lua"], "first come, first served")
    local blocked = events.of(list, "file_blocked")
    t:assert_eq(#blocked, 1)
    t:assert_eq(blocked[1].path, "b.test.lua")
    t:assert_eq(blocked[1].reason, "pool_full")
    t:assert_eq(blocked[1].waiting_for.memory_bytes, 200 * MIB)
    t:assert_eq(events.of(list, "claim_acquired")[1].amount.memory_bytes, 150 * MIB)
    t:assert_eq(events.of(list, "pool_state")[#events.of(list, "pool_state")].used.memory_bytes, 0)
end)

test("a claim made otherwise than declared takes what it needs and no more", function(t)
    local text = 'local vm = {claim = function() end}\nvm:claim{memory = "200M"}\nprovium:claim{memory = 10 << 20}\n' .. OPEN
    local result, list = run(t, {["a.test.lua"] = text, ["b.test.lua"] = 'local m = "60M" provium:claim{memory = m}\n' .. OPEN}, "-j2 --mem 400M .")
    t:assert_eq(result.code, 0)
    for _, claim in ipairs(events.of(list, "claim_acquired")) do
        t:assert_eq(claim.amount.memory_bytes, (claim.path == "a.test.lua" and 10 or 60) * MIB)
    end
    t:assert_eq(events.of(list, "pool_state")[#events.of(list, "pool_state")].used.memory_bytes, 0)
end)

test("more than the pool could ever give fails at once, undispatched", function(t)
    local result, list = run(t, {["a.test.lua"] = claiming("1G", 1), ["b.test.lua"] = OPEN}, "--mem 500M .")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "FAIL a.test.lua (0 passed, 0 failed, 0 skipped)\n    its claim of 1024 MiB and 1 vCPUs, with 50 MiB for " ..
        "the file itself, is more than the whole pool of 500 MiB")
    t:assert_contains(result.out, "raise --mem or --cpus, or lower provium:claim")
    t:assert_contains(result.out, "2 file(s); 1 passed")
    local at = positions(list)
    t:assert_eq(at.file_dispatched["a.test.lua"], nil)
    t:assert(at.file_completed["a.test.lua"], "completed all the same")
    t:assert_eq(events.of(list, "file_completed")[1].status, "failed")
end)

test("--backfill lets files that fit pass a blocked one", function(t)
    local files = {["a.test.lua"] = claiming("200M", 1, 0.5), ["b.test.lua"] = claiming("200M", 1), ["c.test.lua"] = OPEN, ["d.test.lua"] = OPEN}
    local _, list = run(t, files, "-j4 --mem 400M --backfill .")
    local at = positions(list)
    t:assert(at.file_dispatched["c.test.lua"] < at.file_completed["a.test.lua"], "passes")
    t:assert(at.file_dispatched["d.test.lua"] < at.file_completed["a.test.lua"], "passes too")
    t:assert(at.file_dispatched["b.test.lua"] > at.file_completed["a.test.lua"], "waits")
    _, list = run(t, files, "-j4 --mem 400M .")
    at = positions(list)
    t:assert(at.file_dispatched["b.test.lua"] < at.file_dispatched["c.test.lua"], "strictly in order without it")
    local _, queue = run(t, files, "-j4 --mem 400M --backfill --fail-fast .")
    t:assert_eq(queue[#queue].payload.not_run, 0)
end)

test("requests of running files go before new files, the oldest first", function(t)
    local later = 'local m = "250M" provium:claim{memory = m} test("x", function() os.execute("sleep 0.3") end)'
    local _, list = run(t, {["a.test.lua"] = later, ["b.test.lua"] = later, ["c.test.lua"] = later, ["d.test.lua"] = OPEN},
        "-j3 --mem 420M .")
    local at = positions(list)
    t:assert(at.file_dispatched["d.test.lua"] > at.claim_acquired["c.test.lua"], "new files wait for the last claim")
    local order = {}
    for _, claim in ipairs(events.of(list, "claim_acquired")) do order[#order + 1] = claim.path end
    t:assert_eq(#order, 3)
end)

test("waiting for the pool does not count as running", {timeout = "2m"}, function(t)
    local text = 'local m = "200M" provium:claim{memory = m} test("x", function() os.execute("sleep 5") end)'
    local result, list = run(t, {["a.test.lua"] = text, ["b.test.lua"] = text}, "-j2 --mem 320M --timeout 9s .")
    t:assert_eq(result.code, 0)
    local waited = 0
    for _, file in ipairs(events.of(list, "file_completed")) do
        waited = math.max(waited, file.waited_ns)
        t:assert(file.duration_ns < 9e9, "without the wait")
    end
    t:assert(waited > 3e9, "one of them has waited")
end)

test("an interrupt lets workers close what they have opened", {timeout = "1m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/a.test.lua", [[
        test("waits", function(t)
            t:defer(function() io.open("deferred", "w"):close() end)
            io.open("begun", "w"):close()
            os.execute("sleep 50")
        end)
        test("later", function() io.open("later", "w"):close() end)]])
    inner.write(dir .. "/b.test.lua", 'test("spins", function() io.open("spins", "w"):close() while true do end end)')
    inner.write(dir .. "/c.test.lua", 'test("polls", function() io.open("polls", "w"):close() wait_until(function() end, {timeout = 60}) end)')
    os.execute(("cd %s && { %s -j3 --json --save-events ev . >out 2>err </dev/null & echo $! >pid; wait $!; echo $? >code; } &"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local function there(name) return function() return io.open(dir .. "/" .. name) end end
    for _, name in ipairs {"begun", "spins", "polls"} do wait_until(there(name), {timeout = 30}) end
    os.execute(("kill -INT $(cat %s/pid)"):format(inner.quote(dir)))
    wait_until(function() local file = there("code")() return file and file:read("l") end, {timeout = 30})
    t:assert_eq(there("code")():read("l"), "130")
    t:assert(there("deferred")(), "hooks run")
    t:assert(not there("later")(), "nothing begins")
    local files = inner.json({out = there("out")():read("a")})
    t:assert_eq(files["a.test.lua"].status, "failed")
    t:assert_eq(files["a.test.lua"].detail, "interrupted")
    t:assert_contains(files["a.test.lua"].tests[1].message, "interrupted in ")
    t:assert_eq(files["a.test.lua"].tests[2].message, "not run: interrupted")
    t:assert_contains(files["b.test.lua"].tests[1].message, "interrupted in Lua code at b.test.lua:1")
    t:assert_contains(files["c.test.lua"].tests[1].message, "interrupted in ")
    local list = events.read(dir .. "/ev")
    t:assert_eq(list[#list].payload.interrupted, true)
end)

test("a second signal ends everything at once", {timeout = "1m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/a.test.lua", [[
        test("stubborn", function(t)
            t:defer(function() io.open("closing", "w"):close() os.execute("sleep 4") io.open("closed", "w"):close() end)
            io.open("begun", "w"):close()
            os.execute("sleep 50")
        end)]])
    os.execute(("cd %s && { %s --junit j.xml . >out 2>err </dev/null & echo $! >pid; wait $!; echo $? >code; } &"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local function there(name) return function() return io.open(dir .. "/" .. name) end end
    for _, name in ipairs {"begun", "closing"} do
        wait_until(there(name), {timeout = 30})
        os.execute(("sleep 0.3; kill -TERM $(cat %s/pid)"):format(inner.quote(dir)))
    end
    wait_until(function() local file = there("code")() return file and file:read("l") end, {timeout = 30})
    t:assert_eq(there("code")():read("l"), "143")
    t:assert(not there("closed")(), "killed while it closed")
    t:assert_contains(there("j.xml")():read("a"), "interrupted")
end)

test("a deadlock is proven, the newest request fails, the rest goes on", {timeout = "4m"}, function(t)
    local text = [[
        test("two machines", function(t)
            provium:vm("a", "default", {memory = "256M"}):boot()
            io.open("up." .. %q, "w"):close()
            wait_until(function() return io.open("up.a") and io.open("up.b") end, {timeout = 120})
            provium:vm("b", "default", {memory = "256M"}):boot()
        end)]]
    local result = run(t, {["a.test.lua"] = text:format("a"), ["b.test.lua"] = text:format("b")}, "-j2 --mem 900M .")
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, "2 file(s); 1 passed, 1 failed")
    t:assert_contains(result.out, "the pool is deadlocked: all 2 running files wait for memory or CPUs (")
    t:assert_contains(result.out, "test.lua holds 406 MiB")
    t:assert_contains(result.out, "this one asked for 356 MiB")
    t:assert_contains(result.out, "provium:claim")
end)
