-- What goes over a bridge: neighbour discovery, multicast, VLANs, jumbo frames, DHCP, a guest as router; and impairments
-- measured by what the switch says of itself (captures), not by how fast a guest is.
local guest_socket = require("helpers.guest_socket")
provium:vm("a", "default")
provium:vm("b", "default")
provium:bridge("lan"):attach({provium.a, provium.b})
-- Nothing but the frames of a test: the guests know each other, and there is no IPv6 below an MTU of 1280.
provium:bridge("bare", {mtu = 1200}):attach({provium.a, provium.b})
provium:boot()
local a, b, lan, bare = provium.a, provium.b, provium.lan, provium.bare
for vm, other in pairs{[a] = b, [b] = a} do
    vm:run(("arp -i %s -s %s %s"):format(vm:nic("bare"):guest_name(), other:ip("bare"), other:nic("bare"):mac())):assert_ok()
end

local function interface(vm, bridge) return vm:nic(bridge):guest_name() end

-- {{at = seconds, frame = bytes}, …} of a capture with precision "ns", once it has at least `count` packets.
local function packets(cap, count)
    wait_until(function() return cap:stats().packets >= count end, {timeout = 60, desc = count .. " packets"})
    local stats, pieces, have, out, at = cap:stats(), {}, 0, {}, 25
    while have < 24 + 16 * stats.packets + stats.bytes do
        pieces[#pieces + 1] = assert(cap:next(30))
        have = have + #pieces[#pieces]
    end
    cap:close()
    local bytes = table.concat(pieces)
    for i = 1, stats.packets do
        local seconds, fraction, size = string.unpack("<I4I4I4", bytes, at)
        out[i] = {at = seconds + fraction / 1e9, frame = bytes:sub(at + 16, at + 15 + size)}
        at = at + 16 + size
    end
    return out
end

-- Sends `count` frames from a to b, numbered, of that size; returns when each was delivered, by number, and when sent.
local function send_numbered(t, count, size, wait_for)
    local sent, got = bare:capture{precision = "ns", filter = "ether proto 0x88b5"},
        b:nic("bare"):capture{precision = "ns", filter = "ether proto 0x88b5"}
    local socket = guest_socket.raw(a, interface(a, "bare"))
    local to, from = b:nic("bare"):mac(), a:nic("bare"):mac()
    local function mac(text) return (text:gsub("(%x%x):?", function(x) return string.char(tonumber(x, 16)) end)) end
    local head = mac(to) .. mac(from) .. "\x88\xb5"
    for i = 1, count do
        local frame = head .. string.pack(">I4", i)
        t:assert_eq(socket:send(frame .. ("x"):rep(size - #frame)), size)
    end
    socket:close()
    local function by_number(list)
        local out = {}
        for i, packet in ipairs(list) do
            local number = string.unpack(">I4", packet.frame, 15)
            out[number] = out[number] or {at = packet.at, place = i, copies = 0, frame = packet.frame}
            out[number].copies = out[number].copies + 1
        end
        return out, #list
    end
    local starts = by_number(packets(sent, count))
    local ends, total = by_number(packets(got, wait_for or count))
    return ends, starts, total
end

local function reset(t) t:defer(function() bare:reset() end) end

test("latency is what was asked for, and one way", function(t)
    reset(t)
    bare:impair{from = "a", to = "b", latency = "80ms"}
    local ends, starts = send_numbered(t, 20, 100)
    local least, most = math.huge, 0
    for i = 1, 20 do
        local took = ends[i].at - starts[i].at
        least, most = math.min(least, took), math.max(most, took)
    end
    t:log(("80 ms asked for: %.2f to %.2f ms"):format(least * 1e3, most * 1e3))
    t:assert(least >= 0.0799, least)
    t:assert(least < 0.2, least) -- the others may be late when the host is busy
    t:assert_eq(interface(a, "lan") .. interface(a, "bare"), "eth0eth1") -- in the order of attachment
    local before = a:run("ping -c 3 -i 0.2 -W 10 " .. b:ip("bare")):assert_ok().stdout
    t:assert(tonumber(before:match("min/avg/max = ([%d.]+)")) >= 80)
    t:assert_eq(json.encode(bare:impairments()), '[{"from":"a","latency":0.08,"to":"b"}]')
end)

test("jitter stays within its bounds, and frames in order", function(t)
    reset(t)
    bare:impair{latency = "50ms", jitter = "20ms"}
    local ends, starts = send_numbered(t, 50, 100)
    local seen = {}
    for i = 1, 50 do
        t:assert(ends[i].at - starts[i].at >= 0.0299, ends[i].at - starts[i].at)
        t:assert(i == 1 or ends[i].place > ends[i - 1].place, "in order")
        seen[math.floor((ends[i].at - starts[i].at) * 200)] = true
    end
    local kinds = 0
    for _ in pairs(seen) do kinds = kinds + 1 end
    t:assert(kinds > 1, "it varies")
end)

test("loss is exact: the same seed drops the same frames, another seed others", function(t)
    reset(t)
    local function survivors(seed)
        bare:reset():seed(seed):impair{from = "a", to = "b", loss = 30}
        local before = bare:stats()
        local ends, _, total = send_numbered(t, 200, 64, 1)
        local after = bare:stats()
        t:assert_eq(after.dropped_loss - before.dropped_loss, 200 - total)
        t:assert_eq(after.frames - before.frames, 200)
        local out = {}
        for i = 1, 200 do out[i] = ends[i] and "x" or "." end
        return table.concat(out), total
    end
    local first, count = survivors(7)
    t:log(("30 %% of 200 asked for: %d lost, by seed 7"):format(200 - count))
    t:assert(count > 110 and count < 170, count)
    t:assert_eq(survivors(7), first)
    t:assert(survivors(8) ~= first)
end)

test("a rate is kept, bytes per second as asked", function(t)
    reset(t)
    bare:bandwidth_limit("1M")
    local ends, starts = send_numbered(t, 60, 1000)
    local rate = 59 * 1000 * 8 / (ends[60].at - ends[1].at)
    t:log(("1 Mbit/s asked for: %.3f Mbit/s"):format(rate / 1e6))
    t:assert(rate <= 1.02e6, rate)
    if starts[60].at - starts[1].at < 0.3 then t:assert(rate > 0.5e6, rate) end -- else the guest was slower than that
    t:assert_eq(bare:bandwidth_bps(), 1000000)
end)

test("duplicates, corruption, reordering", function(t)
    reset(t)
    bare:impair{from = "a", to = "b", duplicate = 100}
    local ends = send_numbered(t, 10, 64, 20)
    for i = 1, 10 do t:assert_eq(ends[i].copies, 2) end
    bare:reset():impair{from = "a", to = "b", corrupt = 100}
    local before = bare:stats().corrupted
    send_numbered(t, 10, 1000)
    t:assert_eq(bare:stats().corrupted - before, 10)
    bare:reset():impair{from = "a", to = "b", latency = "200ms", reorder = 50}
    ends = send_numbered(t, 20, 64)
    local overtaken = 0
    for i = 2, 20 do
        if ends[i].place < ends[i - 1].place then overtaken = overtaken + 1 end
    end
    t:assert(overtaken > 0, "somebody was overtaken")
end)

-- Sends a file of that many kilobytes from a to b; what b was given of it: bytes of frames, and in how many seconds.
local function send_file(t, kilobytes)
    local got = b:nic("bare"):capture{precision = "ns", filter = "tcp dst port 7000"}
    a:run("dd if=/dev/urandom of=/tmp/blob bs=1k count=" .. kilobytes .. " 2>/dev/null"):assert_ok()
    local server = b:run_async("nc -l -p 7000 >/tmp/blob")
    wait_until(function() return b:run("netstat -ltn").stdout:find(":7000 ", 1, true) end, {timeout = 30})
    a:run("nc " .. b:ip("bare") .. " 7000 </tmp/blob"):assert_ok()
    server:wait("120s")
    t:assert_eq(b:run("md5sum </tmp/blob").stdout, a:run("md5sum </tmp/blob").stdout)
    local list, bytes = packets(got, 1), 0
    for i = 2, #list do bytes = bytes + #list[i].frame end
    return bytes, list[#list].at - list[1].at
end

test("TCP at a rate, one way", {timeout = "2m"}, function(t)
    reset(t)
    bare:impair{from = "a", to = "b", rate = "2M"}
    local bytes, seconds = send_file(t, 300)
    t:log(("2 Mbit/s asked for: TCP at %.3f Mbit/s"):format(bytes * 8 / seconds / 1e6))
    t:assert(bytes > 300 * 1024, bytes)
    t:assert(bytes * 8 / seconds <= 2.04e6, bytes * 8 / seconds)
    bare:reset():impair{from = "b", to = "a", rate = "100M", latency = "40ms"}
    bytes, seconds = send_file(t, 300)
    t:log(("the other way limited and delayed: %.3f Mbit/s"):format(bytes * 8 / seconds / 1e6))
    t:assert(seconds >= 0.08, seconds) -- the first window waits for its acknowledgement
end)

test("TCP gets through all of it at once", {timeout = "3m"}, function(t)
    reset(t)
    bare:impair{latency = "10ms", jitter = "5ms", loss = 2, duplicate = 2, reorder = 5, rate = "20M"}
    bare:impair{from = "a", to = "b", corrupt = 1}
    local before = bare:stats()
    send_file(t, 200)
    local after = bare:stats()
    for _, key in ipairs{"delivered", "duplicated", "reordered", "dropped_loss"} do
        t:assert(after[key] > before[key], key)
    end
    for _, key in ipairs{"errors", "dropped_link", "dropped_isolation", "dropped_partition"} do
        t:assert_eq(after[key], before[key], key)
    end
end)

test("the knobs and what they say", function(t)
    reset(t)
    bare:add_latency(1.5):drop_rate(0.25):bandwidth_limit("2.5Mbit")
    t:assert_eq(bare:latency_ms(), 1.5)
    t:assert_eq(bare:drop_rate_pct(), 0.25)
    t:assert_eq(bare:bandwidth_bps(), 2500000)
    bare:add_latency(0):drop_rate(0):bandwidth_limit(0)
    t:assert_eq(bare:latency_ms(), 0)
    t:assert_eq(bare:drop_rate_pct(), 0)
    t:assert_eq(bare:bandwidth_bps(), nil)
    t:assert_eq(#bare:impairments(), 0)
    bare:add_directional_latency{from = "a", to = b, ms = 20, jitter_ms = 2}
    bare:directional_drop_rate{from = "a", to = b, p = 5}
    bare:bandwidth_limit{from = "a", to = b, bps = "10k"}
    t:assert_eq(json.encode(bare:impairments()),
        '[{"from":"a","jitter":0.002,"latency":0.02,"loss":5.0,"rate":10000,"to":"b"}]')
    bare:impair{from = "a", to = "b", loss = false, rate = false}
    t:assert_eq(json.encode(bare:impairments()), '[{"from":"a","jitter":0.002,"latency":0.02,"to":"b"}]')
    bare:impair{from = "@gateway", latency = "1ms"}
    t:assert_eq(#bare:impairments(), 2)
    bare:partition("a", "b")
    bare:reset()
    t:assert_eq(#bare:impairments(), 0)
    t:assert(not bare:is_partitioned("a", "b"))
    local cases = {
        [function() bare:add_latency() end] = "bridge:add_latency: ms is missing",
        [function() bare:add_latency(-1) end] = "bridge:add_latency: latency",
        [function() bare:drop_rate(0 / 0) end] = "0 to 100 percent",
        [function() bare:bandwidth_limit("10 M") end] = "bad rate 10 M",
        [function() bare:bandwidth_limit(-5) end] = "bad rate -5",
        [function() bare:impair{from = "ghost", loss = 1} end] = "call bridge:attach first",
        [function() bare:seed(1.5) end] = "expected an integer",
        [function() bare:partition{from = "a", to = "ghost"} end] = "call bridge:attach first",
        [function() bare:partition{from = "a", to = "a"} end] = "bridge:partition: ",
        [function() bare:route(bare) end] = "bridge `bare` itself",
        [function() bare:route(5) end] = "element 1 is a number; expected a bridge",
        [function() bare:isolate("ghost") end] = "bridge:isolate: ",
    }
    for call, part in pairs(cases) do
        local message = t:assert_raises(call)
        t:assert_contains(message, part)
        t:assert_contains(message, "link.test.lua:")
    end
end)

test("partition_all with exemptions, and members that come later", function(t)
    t:defer(function() lan:restore_all() end)
    lan:partition_all()
    t:assert(lan:is_partitioned("a", "b"))
    t:assert(not a:run("ping -c 2 -i 0.2 -W 1 " .. b:ip()):ok())
    lan:unpartition("a", "b")
    -- what waits for an address while it is cut off is dropped: the first may be lost
    wait_until(function() return a:run("ping -c 1 -W 2 " .. b:ip()):ok() end, {timeout = 30})
    t:assert(lan:is_partitioned("a", "nobody yet"))
    lan:restore_all()
    t:assert(not lan:is_partitioned("a", "nobody yet"))
end)

test("IPv6 neighbour discovery and multicast", function(t)
    b:run("ip -6 neigh flush dev " .. interface(b, "lan"))
    a:run("ip -6 neigh flush dev " .. interface(a, "lan"))
    local cap = lan:capture{filter = "icmp6 and (ip6[40] = 135 or ip6[40] = 136)"}
    a:run("ping -6 -c 1 -W 10 " .. b:ip("lan", 6)):assert_ok()
    wait_until(function() return cap:stats().packets >= 2 end, {timeout = 20, desc = "solicitation and advertisement"})
    t:assert_contains(a:run("ip -6 neigh").stdout, b:nic("lan"):mac())
    -- every node is in the group of all nodes
    local heard = b:nic("lan"):capture{filter = "icmp6 and dst host ff02::1"}
    a:run("ping -6 -c 1 -W 10 -I " .. interface(a, "lan") .. " ff02::1"):assert_ok()
    wait_until(function() return heard:stats().packets >= 1 end, {timeout = 20})
end)

test("VLANs inside the guests", function(t)
    for vm, host in pairs{[a] = 1, [b] = 2} do
        vm:run("modprobe 8021q 2>/dev/null; vconfig add eth0 42 && ip addr add 192.0.2." .. host .. "/24 dev eth0.42 && " ..
               "ip link set eth0.42 up"):assert_ok()
        t:defer(function() vm:run("ip link del eth0.42") end)
    end
    local tagged = lan:capture{filter = "vlan 42 and icmp"}
    a:run("ping -c 1 -W 10 192.0.2.2"):assert_ok()
    wait_until(function() return tagged:stats().packets >= 2 end, {timeout = 20})
end)

test("jumbo frames", function(t)
    local jumbo = provium:bridge("jumbo", {mtu = 65535})
    jumbo:attach({a, b})
    a:run("ping -c 1 -W 10 -s 60000 b.jumbo"):assert_ok()
    t:assert(jumbo:stats().frames < 20, "in one piece")
end)

test("DHCP: a member its own address, others a lease, and nothing when it is off", function(t)
    local raw = provium:bridge("dhcp", {configure = false, dhcp = true, subnet = "10.77.0.0/24"})
    raw:attach({a, b})
    local function ask(vm, extra)
        local name = vm:nic("dhcp"):guest_name()
        vm:run("ip link set " .. name .. " up"):assert_ok()
        vm:run("udhcpc -n -q -t 5 -T 2 -i " .. name .. " " .. (extra or ""), {timeout = 60}):assert_ok()
        return vm:run("ip addr show " .. name).stdout
    end
    t:assert_contains(ask(a), "10.77.0.10/24")
    local name = b:nic("dhcp"):guest_name()
    b:run("ip link set " .. name .. " down; ip link set " .. name .. " address 02:00:00:00:00:99"):assert_ok()
    t:assert_contains(ask(b), "10.77.0.254/24")
    a:run("ping -c 1 -W 10 10.77.0.254"):assert_ok()
    local off = provium:bridge("off", {configure = false})
    off:attach(a)
    local silent = a:nic("off"):guest_name()
    a:run("ip link set " .. silent .. " up"):assert_ok()
    t:assert(not a:run("udhcpc -n -q -t 2 -T 1 -i " .. silent, {timeout = 60}):ok())
end)

test("names by DNS, and none where it is off", function(t)
    local named, mute = provium:bridge("named"), provium:bridge("mute", {dns = false})
    named:attach({a, b})
    mute:attach({a, b})
    local answer = a:run("nslookup B.NAMED " .. named:subnet().gateway):assert_ok().stdout
    t:assert_contains(answer, b:ip("named"))
    t:assert_contains(a:run("nslookup " .. b:ip("named") .. " " .. named:subnet().gateway):assert_ok().stdout, "b.named")
    t:assert(not a:run("nslookup nobody.named " .. named:subnet().gateway):ok())
    t:assert(not a:run("nslookup b.mute " .. mute:subnet().gateway, {timeout = 60}):ok())
end)

test("the router of bridges: TTL, errors, fragments", function(t)
    local near, far = provium:bridge("near", {mtu = 1500}), provium:bridge("far", {mtu = 1300})
    near:attach(a)
    far:attach(b)
    t:assert_eq(near:route({far}), near)
    t:assert_eq(table.concat(near:routes(), ","), "far")
    local target = b:ip("far")
    t:assert_contains(a:run("ping -c 1 -W 10 " .. target):assert_ok().stdout, "ttl=63")
    t:assert_contains(a:run("ping -c 3 -W 10 -s 1400 " .. target).stdout, "1408 bytes") -- once it knows the smaller MTU
    a:run("ping -6 -c 1 -W 10 " .. b:ip("far", 6)):assert_ok()
    local errors = near:capture{filter = "icmp[icmptype] = icmp-timxceed"}
    a:run("ping -c 1 -W 2 -t 1 " .. target)
    wait_until(function() return errors:stats().packets + near:stats().frames > 0 end)
    local hops = a:run("traceroute -n -m 3 -q 1 -w 5 " .. target, {timeout = 60}).stdout
    t:assert_contains(hops, near:subnet().gateway)
    t:assert_contains(hops, target)
    far:unroute(near)
    t:assert(not a:run("ping -c 1 -W 2 " .. target):ok())
end)
