-- Bridges: real frames between real guests, and what a test can say about a link.
provium:vm("a", "default")
provium:vm("b", "default")
provium:bridge("lan"):attach({provium.a, "b"})
provium:boot()
local a, b, lan = provium.a, provium.b, provium.lan

local function pings(vm, target, extra)
    return vm:run(("ping -c 2 -i 0.2 -W 2 %s %s"):format(extra or "", target)):ok()
end

-- The first may be lost: what waits for an address while it is cut off is dropped.
local function reaches(vm, target)
    return wait_until(function() return pings(vm, target) end, {timeout = 30, desc = "an answer from " .. target})
end

local function rtt(vm, target)
    return tonumber(vm:run("ping -c 4 -i 0.2 -W 3 " .. target):assert_ok().stdout:match("min/avg/max = ([%d.]+)/"))
end

test("members are configured and known by name", function(t)
    t:assert_eq(table.concat(lan:members(), ","), "a,b")
    t:assert(pings(a, "b.lan"), "by <vm>.<bridge>")
    t:assert(pings(b, "a"), "by <vm>")
    t:assert(pings(a, b:ip("lan", 6), "-6"), "over IPv6")
    t:assert_eq(lan:subnet().v4:match("^10%."), "10.")
    t:assert_contains(a:run("ip addr").stdout, a:ip() .. "/24")
    t:assert_eq(a:nic("lan"):mac():sub(1, 8), "52:54:00")
    t:assert_eq(a:nic("eth0"), lan:nic("a"))
    t:assert(a:nic("lan"):counters().tx_packets > 0)
    t:assert(pings(a, lan:subnet().gateway), "the gateway answers")
end)

test("partitions, one way and both, and isolation", function(t)
    lan:partition("a", "b")
    t:assert(lan:is_partitioned(a, b))
    t:assert(not pings(a, "b"))
    t:assert(pings(a, lan:subnet().gateway), "the gateway stays reachable")
    lan:unpartition("a", "b")
    t:assert(reaches(a, "b"))
    lan:partition({from = "b", to = "a"})
    local before = lan:nic("b"):counters().rx_packets
    t:assert(not pings(a, "b"))
    t:assert(lan:nic("b"):counters().rx_packets > before, "a's frames still reach b")
    lan:restore_all()
    lan:isolate(b)
    t:assert(lan:is_isolated("b"))
    t:assert(not pings(a, "b"))
    t:assert(not pings(b, lan:subnet().gateway))
    lan:unisolate(b)
    t:assert(reaches(a, "b"))
end)

test("latency is added, both ways and one way", function(t)
    t:defer(function() lan:reset() end)
    lan:add_latency(100)
    local both = rtt(a, "b")
    t:assert(both >= 200, both)
    t:assert_eq(lan:latency_ms(), 100.0)
    lan:reset()
    lan:impair{from = "a", to = "b", latency = "100ms"}
    local one = rtt(a, "b")
    t:assert(one >= 100 and one < both, one)
end)

test("a capture holds the frames as pcap", function(t)
    local cap = lan:capture({filter = "icmp"})
    pings(a, "b")
    local bytes = table.concat(cap:drain("500ms"))
    t:assert_eq(string.unpack("<I4", bytes), 0xa1b2c3d4)
    local records, at = 0, 25
    while at <= #bytes do
        local _, _, size = string.unpack("<I4I4I4", bytes, at)
        records, at = records + 1, at + 16 + size
    end
    t:assert_eq(records, 4)
    cap:close()
    t:assert_contains(t:assert_raises(function() lan:capture({filter = "no such thing"}) end), "filter")
end)

test("a NIC comes and goes while the guest runs", function(t)
    local wan = provium:bridge("wan", {subnet = "10.99.0.0/24"})
    wan:attach({a, b})
    t:assert(reaches(a, "b.wan"))
    t:assert_eq(a:ip("wan"), "10.99.0.10")
    wan:nic(b):disconnect()
    t:assert(not pings(a, "b.wan"))
    wan:nic(b):reconnect()
    t:assert(reaches(a, "b.wan"))
    wan:detach(a, {unplug = true})
    t:assert(not a:run("ip addr").stdout:find("10.99.0.10", 1, true))
    t:assert_contains(t:assert_raises(function() a:nic("wan") end), "no NIC")
end)

test("routes between bridges are really forwarded", {timeout = "1m"}, function(t)
    local vm = provium:vm("c", "default")
    local far = provium:bridge("far")
    far:attach(vm)
    vm:boot()
    t:assert(not pings(a, vm:ip()))
    far:route(lan)
    t:assert(reaches(a, vm:ip()))
    t:assert_contains(a:run("ping -c 1 -W 2 " .. vm:ip()).stdout, "ttl=63")
    far:unroute(lan)
    t:assert(not pings(a, vm:ip()))
end)

test("a reboot keeps addresses", {timeout = "1m"}, function(t)
    local before = b:ip()
    b:reset()
    t:assert_eq(b:ip(), before)
    t:assert(reaches(a, "b"))
end)

test("mistakes are named", function(t)
    local cases = {
        [function() lan:attach(5) end] = "expected a VM or a VM name",
        [function() lan:partition("a", "a") end] = "bridge:partition",
        [function() lan:impair{los = 5} end] = 'unknown key "los"',
        [function() lan:drop_rate(101) end] = "0 to 100 percent",
        [function() lan:impair{from = "ghost", loss = 5} end] = "ghost",
        [function() lan:detach("ghost") end] = "not a member",
        [function() provium:bridge("lan", {mtu = 9000}) end] = "exists with another mtu",
        [function() lan:bandwidth_limit("fast") end] = "bad rate fast",
    }
    for call, message in pairs(cases) do t:assert_contains(t:assert_raises(call), message) end
end)
