-- Machines started ahead of need: like any other for the test, and gone when nobody wants them.
local inner = require("helpers.inner")
local events = require("helpers.events")

local CLONES = [[
    provium.timeout = 240
    test("clones", function(t)
        local lan, other = provium:bridge("lan"), provium:bridge("other")
        local origin = provium:vm("origin", "default", {memory = "256M"})
        lan:attach(origin)
        origin:boot()
        origin:write_file("/made", "here")
        local snap = origin:snapshot()
        origin:shutdown()
        local clones, seen = {}, {}
        for i, pause in ipairs{0.5, 0.2, 4} do -- the next one has begun, is on its way, is complete
            local vm = provium:vm("clone" .. i, "default"):restore(snap)
            clones[i] = vm
            t:assert_eq(vm:read_file("/made"), "here")
            t:assert(math.abs(vm:clock():get() - os.time()) < 60, "the clock")
            local own = {random = vm:run("cat /proc/sys/kernel/random/uuid").stdout, cid = vm:cid(), ip = vm:ip(),
                         mac = vm:run("cat /sys/class/net/e*/address").stdout}
            t:assert_contains(own.mac, lan:nic(vm):mac())
            for what, value in pairs(own) do
                t:assert(not seen[value], what .. " " .. tostring(value) .. " is another one's")
                seen[value] = true
            end
            vm:run("echo this is " .. i .. " >/dev/console"):assert_ok()
            vm:console():expect("this is " .. i)
            vm:run("sleep " .. pause)
        end
        local first, last = clones[1], clones[3]
        last:run("ping -c 1 -W 5 clone1.lan"):assert_ok()
        first:run("ping -c 1 -W 5 clone3.lan"):assert_ok()
        lan:nic(last):disconnect()
        t:assert(not last:run("ping -c 1 -W 1 clone1.lan"):ok(), "the link is down")
        lan:nic(last):reconnect()
        other:attach(last)
        t:assert(last:ip("other"), "another NIC")
        local again = provium:vm("again", "default"):restore(last:snapshot())
        again:run("ping -c 1 -W 5 clone2.lan"):assert_ok()
    end)
]]

-- Whether each of the file's machines was started ahead, in order.
local function was_ahead(result, file)
    local list = {}
    for _, spawned in ipairs(events.of(events.read(result.dir .. "/ev"), "vm_spawned")) do
        if not file or spawned.file == file then list[#list + 1] = tostring(spawned.ahead) end
    end
    return table.concat(list, " ")
end

test("a clone has an identity of its own", {timeout = "5m"}, function(t)
    local result = inner.run(t, {["x.test.lua"] = CLONES}, "--ahead always --save-events ev x.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(was_ahead(result), "false false true true false", "origin, three clones, the clone's clone")
end)

local RESETS = [[
    provium.reset_between_tests = true
    local vm = provium:vm("a", "default", {memory = "256M"}):boot()
    for i = 1, 4 do
        test("test " .. i, function(t)
            t:assert(not vm:run("test -e /dirty"):ok(), "a fresh state")
            vm:write_file("/dirty", "")
            vm:run("sleep 0.5")
            if i == 2 then -- it has its kernel too
                vm:reset()
                t:assert(not vm:run("test -e /dirty"):ok(), "booted anew")
            end
        end)
    end
]]
local HANDLES = [[
    provium.reset_between_tests = true
    local vm = provium:vm("a", "default", {memory = "256M"}):boot()
    local process = vm:run_async("read a; sleep 0.2; echo got $a; read b")
    for i = 1, 3 do
        test("test " .. i, function(t)
            local output = process:stdout_stream()
            process:stdin_write("line" .. i .. "\n")
            output:expect("got line" .. i)
            output:close()
            vm:run("sleep 0.5")
        end)
    end
]]
local PAIR = [[
    test("a lab", function(t)
        local lab = provium:lab("pair")
        local lan = lab:bridge("lan")
        local a, b = lab:vm("a", "default", {memory = "256M"}), lab:vm("b", "default", {memory = "256M"})
        lan:attach({a, b})
        lab:boot()
        local snap = lab:snapshot()
        for i = 1, 2 do
            lab:restore(snap)
            a:run("ping -c 1 -W 5 b.lan"):assert_ok()
            b:run("sleep 0.3"):assert_ok()
        end
    end)
]]

test("resets and labs", {timeout = "5m"}, function(t)
    local files = {["resets.test.lua"] = RESETS, ["handles.test.lua"] = HANDLES, ["pair.test.lua"] = PAIR}
    local result = inner.run(t, files, "-j 1 --ahead always --save-events ev .")
    t:assert_eq(result.code, 0)
    t:assert_eq(was_ahead(result, "resets.test.lua"), "false true true true")
    t:assert_eq(was_ahead(result, "handles.test.lua"), "false true true")
    t:assert_eq(was_ahead(result, "pair.test.lua"), "false false false false true true")
end)

test("never", function(t)
    local text = RESETS:gsub("1, 4 do", "1, 2 do"):gsub("i == 2", "false")
    local result = inner.run(t, {["x.test.lua"] = text, ["provium.toml"] = '[provium]\nahead = "never"\n'}, "--save-events ev x.test.lua")
    t:assert_eq(result.code, 0)
    t:assert_eq(was_ahead(result), "false false")
end)

-- The second file's machine fits beside the first one's, but not beside that and its successor.
test("who needs the memory gets it", {timeout = "5m"}, function(t)
    local result = inner.run(t, {
        ["a.test.lua"] = [[
            test("a", function(t)
                local vm = provium:vm("a", "default", {memory = "256M"}):boot()
                local snap = vm:snapshot()
                vm:shutdown()
                vm:restore(snap):run("sleep 2")
                io.open("ready", "w"):close()
                wait_until(function() return io.open("done") end, {timeout = 200})
            end)]],
        ["b.test.lua"] = [[
            test("b", function(t)
                wait_until(function() return io.open("ready") end, {timeout = 200})
                provium:vm("b", "default", {memory = "256M"}):boot():run("true"):assert_ok()
                io.open("done", "w"):close()
            end)]],
    }, "-j 2 --mem 860M --ahead always .")
    t:assert_eq(result.code, 0)
end)

test("nothing of it survives a kill", {timeout = "5m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", RESETS:gsub("sleep 0.5", "sleep 100"))
    -- Two QEMUs of the run: the test's and the next one's. Their command lines tell them from other runs'.
    local mark = ("ahead_%d_%d"):format(os.time(), math.random(1, 1 << 40))
    local count = "grep -lsa " .. mark .. " /proc/[0-9]*/environ | while read f; do tr '\\0' ' ' <${f%environ}cmdline; echo; done | grep -c qemu-system"
    local log = inner.output(([[cd %s && { env MARK=%s %s --ahead always x.test.lua >/dev/null 2>&1 & }
        for i in $(seq 600); do n=$(%s); [ "$n" = 2 ] && break; sleep 0.1; done
        kill -9 $!; wait $! 2>/dev/null
        for i in $(seq 100); do left=$(%s); [ "$left" = 0 ] && break; sleep 0.1; done; echo $n, then $left]]):format(
        inner.quote(dir), mark, inner.quote(inner.binary()), count, count))
    t:assert_eq(log, "2, then 0\n")
end)
