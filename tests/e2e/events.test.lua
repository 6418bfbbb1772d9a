-- The event stream: its guarantees and its sinks. No machine is booted.
local inner = require("helpers.inner")
local events = require("helpers.events")

local suite = {
    ["a.test.lua"] = [[
        provium:claim{memory = "64M", cpus = 1}
        test("good", {spec = "S"}, function(t) t:log("hello") end)
        test("bad", function(t) t:fail("why") end)
        test("off", {skip = true}, function() end)
        test("later", function(t) t:skip("today") end)]],
    ["b.test.lua"] = [[
        provium:claim{memory = "32M"}
        test("dies", {spec = "D"}, function() os.execute("kill -KILL $PPID") end)
        test("after", function() end)]],
    ["c.test.lua"] = "error('chunk')",
    ["d.test.lua"] = 'test("spins", function() while true do end end) test("next", function() end)',
}

-- Runs the suite; returns all events.
local function record(t, args)
    local result = inner.run(t, suite, "--psi-threshold 0 --timeout 1s --save-events ev " .. (args or ""))
    t:assert_eq(result.code, 1)
    return events.read(result.dir .. "/ev"), result
end

local function where(list, kind, fields)
    local out = {}
    for _, payload in ipairs(events.of(list, kind)) do
        local all = true
        for key, value in pairs(fields) do all = all and payload[key] == value end
        if all then out[#out + 1] = payload end
    end
    return out
end

test("the run is framed and every file comes to one end per attempt", function(t)
    local list = record(t, "--retries 1 -j2")
    t:assert_eq(list[1].kind, "run_started")
    t:assert_eq(list[#list].kind, "run_completed")
    local start, finish = list[1].payload, list[#list].payload
    t:assert_eq(start.protocol_version, 2)
    t:assert_eq(start.files, 4)
    t:assert_eq(start.shard, "1/1")
    t:assert_eq(#start.input_hash, 64)
    t:assert(start.argv[2] == "--psi-threshold" and start.total.memory_bytes > 0 and start.host.kernel, "fields")
    t:assert_eq(finish.exit_code, 1)
    t:assert_eq(finish.files, 4)
    t:assert_eq(finish.interrupted, false)
    local dispatched
    for _, event in ipairs(list) do
        dispatched = dispatched or event.kind == "file_dispatched"
        t:assert(event.kind ~= "file_discovered" or not dispatched, "discovered before the first dispatch")
    end
    for path in pairs(suite) do
        for attempt = 1, 2 do
            t:assert_eq(#where(list, "file_dispatched", {path = path, attempt = attempt}), 1, path)
            t:assert_eq(#where(list, "file_completed", {path = path, attempt = attempt}), 1, path)
        end
    end
    local statuses = {["a.test.lua"] = "failed", ["b.test.lua"] = "crashed", ["c.test.lua"] = "failed", ["d.test.lua"] = "timed_out"}
    for path, status in pairs(statuses) do
        t:assert_eq(where(list, "file_completed", {path = path})[2].status, status, path)
    end
    t:assert_contains(where(list, "file_completed", {path = "c.test.lua"})[1].detail, "c.test.lua:1: chunk")
    t:assert_eq(where(list, "file_completed", {path = "b.test.lua"})[1].detail, "worker killed by SIGKILL")
end)

test("a test that begins has one end, also when its process dies", function(t)
    local list = record(t)
    local open = {}
    for _, event in ipairs(list) do
        local p = event.payload
        local key = p.path and p.name and p.path .. "\0" .. p.name
        if event.kind == "test_started" then
            t:assert_eq(open[key], nil, key)
            open[key] = "begun"
        elseif event.kind == "test_passed" or event.kind == "test_failed" then
            t:assert_eq(open[key], "begun", key)
            open[key] = "ended"
        elseif event.kind == "test_skipped" then
            t:assert(open[key] ~= "ended", key)
            open[key] = "ended"
        end
    end
    for key, state in pairs(open) do t:assert_eq(state, "ended", key) end
    local dies = where(list, "test_failed", {name = "dies"})[1]
    t:assert_eq(dies.reason, "worker killed by SIGKILL")
    t:assert_eq(dies.meta.spec, "D")
    t:assert_eq(dies.line, 2)
    t:assert_eq(where(list, "test_failed", {name = "after"})[1].reason, "failed-due-to-poisoned-state: worker killed by SIGKILL")
    t:assert_contains(where(list, "test_failed", {name = "next"})[1].reason, "not run: file timed out")
    local good, bad = where(list, "test_passed", {name = "good"})[1], where(list, "test_failed", {name = "bad"})[1]
    t:assert_eq(good.log[1], "hello")
    t:assert_eq(good.flaky, false)
    t:assert(good.duration_ns > 0 and good.attempt == 1, "fields")
    t:assert_eq(bad.reason, "a.test.lua:3: why")
    t:assert_eq(bad.will_retry, false)
    t:assert(bad.traceback ~= "" and bad.console_excerpt == "" and #bad.log == 0 and bad.file == "a.test.lua", "fields")
    t:assert_eq(where(list, "test_skipped", {name = "off"})[1].reason, "skipped (meta.skip)")
    t:assert_eq(#where(list, "test_started", {name = "off"}), 0)
    t:assert_eq(#where(list, "test_started", {name = "later"}), 1)
end)

test("claims pair up, also when the worker dies; pool_state ends the run", function(t)
    local list = record(t)
    for path, memory in pairs {["a.test.lua"] = 64 << 20, ["b.test.lua"] = 32 << 20} do
        local taken, back = where(list, "claim_acquired", {path = path}), where(list, "claim_released", {path = path})
        t:assert_eq(#taken, 1, path)
        t:assert_eq(#back, 1, path)
        t:assert_eq(taken[1].amount.memory_bytes, memory)
    end
    local pool = list[#list - 1]
    t:assert_eq(pool.kind, "pool_state")
    t:assert_eq(pool.payload.used.memory_bytes, 0)
    t:assert_eq(pool.payload.in_flight, 0)
    t:assert_eq(pool.payload.vms, 0)
    t:assert(pool.payload.psi_pct >= 0 and pool.payload.queued == 0, "fields")
end)

test("blocked files say why, time goes forward within a file", function(t)
    local list = record(t, "-j1")
    t:assert_eq(#where(list, "file_blocked", {path = "b.test.lua", reason = "jobs"}), 1)
    local full = record(t, "-j4 --mem 120M")
    t:assert(#where(full, "file_blocked", {reason = "pool_full"}) >= 1, "pool_full")
    local last = {}
    for _, event in ipairs(list) do
        local path = event.payload.path or event.payload.file
        if path then
            t:assert(event.ts >= (last[path] or 0), path)
            last[path] = event.ts
        end
    end
end)

test("long texts are cut, and say so", function(t)
    local result = inner.run(t, {["x.test.lua"] = 'test("long", function() error(("ä"):rep(3 << 20)) end)'}, "--save-events ev x.test.lua")
    local reason = events.of(events.read(result.dir .. "/ev"), "test_failed")[1].reason
    t:assert(reason:find("…%[cut %d+ bytes%]$") and #reason < 3 << 20 and utf8.len(reason), "cut between characters")
end)

test("standard output carries the same frames; a reader that goes away changes nothing", function(t)
    local result = inner.run(t, suite, "--psi-threshold 0 --timeout 1s --save-events ev --events-stdout -j1")
    t:assert_eq(result.code, 1)
    local file = io.open(result.dir .. "/ev", "rb")
    t:assert(file:read("a") == result.out, "the same bytes")
    file:close()
    local pipe = io.popen(("cd %s && { %s --psi-threshold 0 --timeout 1s --events-stdout 2>/dev/null; echo $? >code; } | head -c 10 >/dev/null; cat code")
        :format(inner.quote(result.dir), inner.quote(inner.binary())))
    t:assert_eq(pipe:read("a"), "1\n")
end)

test("a file that cannot be written ends with 2", function(t)
    local result = inner.run(t, {["x.test.lua"] = ""}, "--save-events /no/such/dir/ev x.test.lua")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "--save-events: `/no/such/dir/ev`")
end)

-- Connects to the socket and, `wait` seconds later, reads it to its end.
local reader = [[
use strict; use IO::Socket::UNIX;
my ($path, $wait, $out) = @ARGV; my $s;
for (1..200) { last if $s = IO::Socket::UNIX->new(Peer => $path); select undef, undef, undef, 0.02 }
die "no socket" unless $s;
select undef, undef, undef, $wait;
open my $f, ">", $out; binmode $f;
while (sysread $s, my $b, 65536) { print $f $b }
]]

test("a socket has several readers, late ones get everything, slow ones are dropped", function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/r.pl", reader)
    -- About 20 MiB of logs, over a second or more.
    inner.write(dir .. "/x.test.lua", [[
        for i = 1, 40 do test("t" .. i, function(t) t:log(("x"):rep(500000)) os.execute("sleep 0.05") end) end]])
    local command = ([[cd %s
        %s --psi-threshold 0 --events-socket s --save-events ev x.test.lua >out 2>err & run=$!
        perl r.pl s 0 one & one=$!
        perl r.pl s 20 slow & slow=$!
        sleep 1; stat -c %%a s >mode; perl r.pl s 0 late & late=$!
        wait $run; echo $? >code; wait $one $late; kill $slow; test -e s || echo gone >>mode]]):format(
        inner.quote(dir), inner.quote(inner.binary()))
    local start = os.time()
    os.execute(command)
    local function slurp(name)
        local file = assert(io.open(dir .. "/" .. name, "rb"))
        local text = file:read("a")
        file:close()
        return text
    end
    t:log(slurp("out") .. slurp("err"))
    t:assert_eq(slurp("code"), "0\n")
    t:assert_eq(slurp("mode"), "600\ngone\n")
    t:assert(slurp("one") == slurp("ev"), "the first reader has everything")
    t:assert(slurp("late") == slurp("ev"), "the late reader has everything")
    t:assert(os.time() - start < 15, "nobody waited for the slow one")
end)

test("a socket left by a dead run is replaced, a live one and a file are not", function(t)
    local result = inner.run(t, {["x.test.lua"] = ""}, "--events-socket x.test.lua x.test.lua")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "exists and is no socket")
    os.execute(("cd %s && perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"s\", Listen => 1)'"):format(inner.quote(result.dir)))
    t:assert_eq(inner.run(t, {}, "--events-socket s x.test.lua", {dir = result.dir}).code, 0)
    os.execute(("cd %s && perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Local => \"s\", Listen => 1); sleep 5' & sleep 0.3")
        :format(inner.quote(result.dir)))
    local live = inner.run(t, {}, "--events-socket s x.test.lua", {dir = result.dir})
    t:assert_eq(live.code, 2)
    t:assert_contains(live.err, "another run listens")
end)
