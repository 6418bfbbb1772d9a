-- A guest that means harm, and runs next to each other: what a bridge keeps apart stays apart.
local guest_socket = require("helpers.guest_socket")
local inner = require("helpers.inner")
for _, name in ipairs{"evil", "a", "b"} do provium:vm(name, "default") end
provium:bridge("lan"):attach({provium.evil, provium.a, provium.b})
provium:bridge("quiet"):attach({provium.a, provium.b})
provium:boot()
local evil, a, b, lan, quiet = provium.evil, provium.a, provium.b, provium.lan, provium.quiet

local function bytes_of(mac)
    return (mac:gsub("(%x%x):?", function(x) return string.char(tonumber(x, 16)) end))
end
local A, B, GATEWAY = bytes_of(a:nic("lan"):mac()), bytes_of(b:nic("lan"):mac()), nil
local ALL = ("\xff"):rep(6)

local function reaches(vm, target)
    return wait_until(function() return vm:run("ping -c 1 -W 3 " .. target):ok() end, {timeout = 60, desc = "an answer from " .. target})
end

test("spoofed addresses pass no partition and no isolation", function(t)
    t:defer(function() lan:reset() end)
    local raw = guest_socket.raw(evil, "eth0")
    local heard = {a = a:nic("lan"):capture{filter = "ether proto 0x88b5"}, b = b:nic("lan"):capture{filter = "ether proto 0x88b5"}}
    local function attack()
        for _, source in ipairs{A, B, ALL, "\1\0\0\0\0\0"} do
            for _, target in ipairs{A, B, ALL, "\x33\x33\0\0\0\1"} do raw:send(target .. source .. "\x88\xb5" .. ("!"):rep(50)) end
        end
        -- when this one is through, so are those before it
        local seen = lan:capture{filter = "ether proto 0x88b6"}
        raw:send(ALL .. A .. "\x88\xb6" .. ("."):rep(50))
        wait_until(function() return seen:stats().packets == 1 end, {timeout = 30})
        seen:close()
    end
    lan:partition("evil", "a")
    attack()
    t:assert_eq(heard.a:stats().packets, 0)
    t:assert(heard.b:stats().packets > 0, "b is not cut from it")
    lan:unpartition("evil", "a")
    lan:isolate(evil)
    local before = heard.b:stats().packets
    attack()
    t:assert_eq(heard.a:stats().packets, 0)
    t:assert_eq(heard.b:stats().packets, before)
    lan:unisolate(evil)
    raw:close()
    reaches(a, b:ip("lan"))
end)

test("runts, giants and garbage for the gateway", function(t)
    local raw = guest_socket.raw(evil, "eth0")
    local gateway = lan:subnet().gateway
    evil:run("ping -c 1 -W 10 " .. gateway):assert_ok()
    GATEWAY = bytes_of(evil:run("ip neigh show " .. gateway).stdout:match("lladdr (%S+)"))
    raw:send(ALL .. A .. "\8\0") -- the least that is a frame
    raw:send("short")
    math.randomseed(4)
    local function noise(n)
        local out = {}
        for i = 1, n do out[i] = string.char(math.random(0, 255)) end
        return table.concat(out)
    end
    local own = bytes_of(evil:nic("lan"):mac())
    local function ip4(protocol, payload)
        local source, target = {evil:ip():match("(%d+)%.(%d+)%.(%d+)%.(%d+)")}, {gateway:match("(%d+)%.(%d+)%.(%d+)%.(%d+)")}
        local header = string.pack(">BBI2I2I2BBI2BBBBBBBB", 0x45, 0, 20 + #payload, 1, 0, 64, protocol, 0,
            source[1], source[2], source[3], source[4], target[1], target[2], target[3], target[4])
        local sum = 0
        for i = 1, 20, 2 do sum = sum + string.unpack(">I2", header, i) end
        while sum > 0xffff do sum = (sum & 0xffff) + (sum >> 16) end
        return header:sub(1, 10) .. string.pack(">I2", ~sum & 0xffff) .. header:sub(13) .. payload
    end
    for i = 1, 150 do
        local n = math.random(0, 1400)
        raw:send(GATEWAY .. own .. "\8\6" .. noise(n % 60))                                              -- ARP
        raw:send(GATEWAY .. own .. "\8\0" .. noise(n))                                                   -- IPv4
        raw:send(GATEWAY .. own .. "\x86\xdd" .. noise(n))                                               -- IPv6
        raw:send(GATEWAY .. own .. "\8\0" .. ip4(17, string.pack(">I2I2I2I2", 68, 67, 8 + n, 0) .. noise(n)))    -- DHCP
        raw:send(GATEWAY .. own .. "\8\0" .. ip4(17, string.pack(">I2I2I2I2", 5000, 53, 8 + n, 0) .. noise(n)))  -- DNS
        raw:send(GATEWAY .. own .. "\8\0" .. ip4(6, string.pack(">I2I2", 5000 + i, 53) .. noise(n)))             -- TCP
        raw:send(GATEWAY .. own .. "\8\0" .. ip4(1, noise(n)))                                                   -- ICMP
        raw:send(ALL .. noise(6) .. noise(2) .. noise(n))                                                -- anything
    end
    raw:close()
    evil:run("ping -c 1 -W 10 " .. gateway):assert_ok()
    reaches(a, b:ip("lan"))
    t:assert_contains(a:run("nslookup b.lan"):assert_ok().stdout, b:ip("lan"))
end)

-- The kernels of two guests make the flood: both join the same two bridges inside, which is a loop without an end.
test("a storm on one bridge does not starve another", {timeout = "3m"}, function(t)
    local x, y = provium:bridge("x", {configure = false}), provium:bridge("y", {configure = false})
    x:attach({evil, a})
    y:attach({evil, a})
    t:defer(function()
        x:isolate(evil)
        for _, vm in ipairs{evil, a} do vm:run("ip link set loop down; brctl delbr loop") end
    end)
    for _, vm in ipairs{evil, a} do
        vm:run("modprobe bridge 2>/dev/null; brctl addbr loop"):assert_ok()
        for _, bridge in ipairs{x, y} do
            local name = vm:nic(bridge:name()):guest_name()
            vm:run("brctl addif loop " .. name .. " && ip link set " .. name .. " up"):assert_ok()
        end
        vm:run("ip link set loop up"):assert_ok()
    end
    local before = x:stats().frames
    local raw = guest_socket.raw(evil, evil:nic("x"):guest_name())
    for _ = 1, 20 do raw:send(ALL .. "\2\0\0\0\0\7" .. "\x88\xb5" .. ("!"):rep(50)) end
    raw:close()
    wait_until(function() return x:stats().frames > before + 5000 end, {timeout = 60, desc = "the storm"})
    local dropped = quiet:stats()
    local flood = x:stats().frames
    local out = b:run("ping -c 10 -i 0.3 -W 20 " .. a:ip("quiet"), {timeout = 60}).stdout
    t:log(("%d frames of the storm during %s"):format(x:stats().frames - flood, out:match("[^\n]*received[^\n]*") or out))
    t:assert(x:stats().frames > flood, "it still blows")
    t:assert(tonumber(out:match("(%d+) packets received")) > 0, out)
    t:assert_eq(quiet:stats().dropped_queue, dropped.dropped_queue)
end)

-- Sends twenty frames while the others do the same, and counts what passes its NIC.
local NEIGHBOUR = [[
    local guest_socket = require("guest_socket")
    local dir, name, others = %q, %q, %d
    local function meet(point)
        io.open(dir .. "/" .. point .. "." .. name, "w"):close()
        wait_until(function()
            local pipe = io.popen("ls " .. dir .. "/" .. point .. ".* | wc -l")
            local count = pipe:read("n")
            pipe:close()
            return count == others
        end, {timeout = 120, desc = "all at " .. point})
    end
    local vm, lan = provium:vm("a", "default"), provium:bridge("lan")
    lan:attach(vm)
    vm:boot()
    test("alone", {timeout = "3m"}, function(t)
        local seen = vm:nic("lan"):capture{filter = "ether proto 0x88b5"}
        local raw = guest_socket.raw(vm, "eth0")
        meet("ready")
        for _ = 1, 20 do raw:send(("\xff"):rep(6) .. ("\2"):rep(6) .. "\x88\xb5" .. name:rep(50)) end
        meet("sent")
        wait_until(function() return seen:stats().packets >= 20 end)
        t:assert_eq(seen:stats().packets, 20)
        t:assert_eq(table.concat(lan:members()), "a")
    end)]]

test("files and runs with the same names do not meet", {timeout = "4m"}, function(t)
    local dir = inner.directory(t)
    for _, name in ipairs{"one", "two", "three"} do
        inner.write(dir .. "/" .. name .. ".test.lua", NEIGHBOUR:format(dir, name, 3))
    end
    local helpers = debug.getinfo(inner.run, "S").source:match("^@(.*)/")
    inner.write(dir .. "/guest_socket.lua", io.open(helpers .. "/guest_socket.lua"):read("a"))
    local _, _, code = os.execute(("cd %s && { %s -j 1 three.test.lua >first 2>&1 & %s -j 2 one.test.lua two.test.lua >second 2>&1; a=$?; wait $! && exit $a; }")
        :format(inner.quote(dir), inner.quote(inner.binary()), inner.quote(inner.binary())))
    t:log(io.open(dir .. "/first"):read("a"))
    t:log(io.open(dir .. "/second"):read("a"))
    t:assert_eq(code, 0)
end)

test("nothing on the host's network changes", {timeout = "3m"}, function(t)
    local function state()
        local pipe = io.popen([[cut -d: -f1 /proc/net/dev | tail -n +3; cat /proc/net/route /proc/net/ipv6_route /proc/net/if_inet6;
            grep -r . /proc/sys/net 2>/dev/null | grep -v -e _count: -e random | sort]])
        local text = pipe:read("a")
        pipe:close()
        return text
    end
    local before = state()
    local result = inner.run(t, {["x.test.lua"] = [[
        local a, b = provium:vm("a", "default"), provium:vm("b", "default")
        local x, y = provium:bridge("x"), provium:bridge("y")
        x:attach(a)
        y:attach(b)
        provium:boot()
        test("all there is", function(t)
            x:route(y)
            x:enable_uplink{forward = {{host = 0, guest = 80, vm = a}}}
            x:impair{latency = "1ms", loss = 1}
            local cap = x:capture()
            a:run("ping -c 5 -i 0.2 -W 5 " .. b:ip())
            y:attach(a)
        end)]]}, "--sandbox off .")
    t:assert_eq(result.code, 0)
    t:assert_eq(state(), before)
end)
