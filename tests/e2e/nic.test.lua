-- NICs that come and go, what is known of them, captures, and what a bridge keeps of its members.
local guest_socket = require("helpers.guest_socket")
provium:vm("a", "default")
provium:vm("b", "default")
provium:bridge("lan"):attach({provium.a, "b"})
local root, a, b, lan = provium, provium.a, provium.b, provium.lan

local function pings(vm, target)
    return vm:run("ping -c 2 -i 0.2 -W 5 " .. target):ok()
end

local function message_of(t, fn) return t:assert_raises(fn) end

test("before boot a NIC is known, and has counted nothing", function(t)
    local nic = a:nic("lan")
    t:assert_eq(nic:vm_name(), "a")
    t:assert_eq(nic:bridge(), "lan")
    t:assert_eq(nic:guest_name(), nil)
    t:assert_eq(nic:counters().rx_packets, 0)
    t:assert_eq(nic:ip(), a:ip())
    t:assert_eq(nic:ip(6), a:ip("lan", 6))
    local status = nic:status()
    t:assert_eq(status.link, false)
    t:assert_eq(status.configured, false)
    t:assert_contains(status.reason, "VM `a` is created")
    t:assert_contains(message_of(t, function() nic:capture() end),
        "nic:capture: vm `a` has no NIC on bridge `lan` (not booted?). Call lab:boot() / vm:boot() first.")
    t:assert_eq(root.nosuch, nil)
    lan:partition("a", "b"):impair{from = "a", to = "@gateway", loss = 100}
    root:boot()
end)

test("what was cut and impaired before boot is, after it", function(t)
    t:defer(function() lan:reset() end)
    t:assert(not pings(a, b:ip()))
    t:assert(not pings(a, lan:subnet().gateway))
    t:assert(pings(b, lan:subnet().gateway))
    lan:reset()
    wait_until(function() return pings(a, "b") end, {timeout = 30})
    t:assert(a:run("ping -6 -c 1 -W 5 " .. lan:subnet().gateway6):ok(), "the gateway by IPv6")
end)

test("in the guest it has a name, a link and addresses", function(t)
    local nic = a:nic("lan")
    t:assert_eq(nic:guest_name(), "eth0")
    t:assert_eq(json.encode(nic:status()), '{"configured":true,"link":true}')
    -- no checksums and no segments by the device: VIRTIO_NET_F_CSUM (0), GUEST_CSUM (1), GUEST_TSO4 (7) to HOST_UFO (14)
    local features = a:read_file("/sys/class/net/eth0/device/features")
    t:assert_eq(features:sub(1, 2) .. features:sub(8, 15), "0000000000")
    t:assert_contains(a:run("ip link show eth0"):assert_ok().stdout, nic:mac())
    t:assert_eq(a:nic("eth0"), nic)
    t:assert_eq(a:nic("enp0s0"), nic)
    t:assert_eq(a:nic("ens0"), nic)
    a:run("ip link set eth0 down; ip link set eth0 name wire; ip link set wire up"):assert_ok()
    lan:route(provium:bridge("other")):unroute(provium.other) -- has the guest looked at anew
    t:assert_eq(nic:guest_name(), "wire")
    t:assert_eq(a:nic("wire"), nic)
    a:run("ip link set wire down; ip link set wire name eth0; ip link set eth0 up"):assert_ok()
    local message = message_of(t, function() a:nic("eth7") end)
    t:assert_contains(message, 'no NIC "eth7" (bridges: lan)')
end)

test("disconnected, the guest sees no link; reconnected, it is as before", function(t)
    local nic = b:nic("lan")
    t:assert_eq(nic:disconnect():disconnect(), nic)
    t:assert_eq(table.concat(lan:members(), ","), "a")
    t:assert_eq(nic:status().link, false)
    t:assert_eq(nic:status().reason, "disconnected")
    wait_until(function() return b:run("cat /sys/class/net/eth0/carrier").stdout == "0\n" end, {timeout = 30})
    t:assert(not pings(a, b:ip()))
    nic:reconnect():reconnect()
    wait_until(function() return b:run("cat /sys/class/net/eth0/carrier").stdout == "1\n" end, {timeout = 30})
    t:assert_eq(nic:status().link, true)
    t:assert(pings(a, b:ip()))
end)

test("a plain detach keeps the device; the next boot does not", function(t)
    local mac, ip = b:nic("lan"):mac(), b:ip()
    lan:partition("a", "b")
    lan:detach("b")
    t:assert_eq(table.concat(lan:members(), ","), "a")
    wait_until(function() return b:run("cat /sys/class/net/eth0/carrier").stdout == "0\n" end, {timeout = 30})
    t:assert(not b:run("ip addr").stdout:find(ip, 1, true), "its addresses are gone")
    t:assert(lan:is_partitioned("a", "b"), "symmetric partitions stay")
    lan:unpartition("a", "b")
    lan:attach(b)
    t:assert_eq(b:nic("lan"):mac(), mac)
    t:assert_eq(b:ip(), ip)
    t:assert(pings(a, "b"))
    lan:detach(b)
    b:shutdown()
    b:boot()
    t:assert_eq(b:run("ls /sys/class/net").stdout, "lo\n")
    lan:attach(b)
    t:assert_eq(b:ip(), ip)
    t:assert(pings(a, "b"))
end)

test("sixteen NICs, and the slots come back", {timeout = "2m"}, function(t)
    local mine = {}
    for i = 1, 15 do
        mine[i] = provium:bridge("n" .. i)
        mine[i]:attach({a})
    end
    t:assert_eq(json.encode(mine[15]:nic(a):status()), '{"configured":true,"link":true}')
    t:assert_contains(message_of(t, function() provium:bridge("n16"):attach({b, a}) end), "no free slot")
    t:assert_eq(b:run("ls /sys/class/net").stdout, "eth0\nlo\n")
    mine[1]:detach(a, {unplug = true})
    provium:bridge("n16"):attach(a)
    t:assert_contains(a:run("ip addr").stdout, a:ip("n16"))
    mine[2]:close()
    local _, count = a:run("ls /sys/class/net").stdout:gsub("eth%d+", "")
    t:assert_eq(count, 15)
    t:assert_contains(message_of(t, function() mine[2]:members() end), "bridge:members: bridge `n2` is closed")
    t:assert_eq(mine[2]:name(), "n2")
    mine[2]:close()
    t:assert_contains(message_of(t, function() lan:route(mine[2]) end), "is closed")
    local unplugged = mine[3]:nic(a):disconnect()
    mine[3]:close()
    t:assert_contains(message_of(t, function() unplugged:reconnect() end), "bridge `n3` is closed")
end)

test("they leave with their bridges", function(t)
    t:assert_eq(a:run("ls /sys/class/net").stdout, "eth0\nlo\n")
end)

test("attaching a list is all or nothing", function(t)
    local bridge = provium:bridge("both")
    local message = message_of(t, function() bridge:attach({a, 5}) end)
    t:assert_contains(message, "nic.test.lua:")
    t:assert_contains(message, "bridge:attach: element 2 is a number; expected a VM or a VM name")
    t:assert_eq(#bridge:members(), 0)
    b:pause()
    message = message_of(t, function() bridge:attach({a, b}) end)
    b:resume()
    t:assert_contains(message, "VM `b` is paused; resume it first")
    t:assert_eq(#bridge:members(), 0)
    t:assert_eq(a:run("ls /sys/class/net").stdout, "eth0\nlo\n")
    bridge:attach({a, b, a, "a"})
    t:assert_eq(table.concat(bridge:members(), ","), "a,b")
end)

test("who can't be a member", function(t)
    local small = provium:bridge("small", {subnet = "10.201.0.0/28"})
    for i = 1, 13 do small:attach("m" .. i) end
    t:assert_contains(message_of(t, function() small:attach("m14") end), "the subnet of bridge `small` is full")
    t:assert_eq(#small:members(), 13)
    t:assert_contains(message_of(t, function() a:ip("small") end), "small")
    t:assert_contains(message_of(t, function() small:detach("m14") end), "not a member")
    local twin = provium:lab("sub"):vm("a", "default")
    t:assert_contains(message_of(t, function() lan:attach(twin) end), "another VM named `a` is a member of bridge `lan`")
    t:assert_contains(message_of(t, function() lan:detach(a, {unplug = true}) end), "was there at boot")
    t:assert_eq(table.concat(lan:members(), ","), "a,b", "none of it has changed anything")
end)

test("what changes while a VM is paused reaches it", function(t)
    local bridge = provium:bridge("late")
    bridge:attach(b)
    b:pause()
    bridge:attach(a)
    b:resume()
    t:assert_contains(b:read_file("/etc/hosts"), "a.late")
end)

test("a guest without a driver: a warning, and status says why", function(t)
    -- the interface never comes, because its device is bound to nothing
    a:run("echo 0 >/sys/bus/virtio/drivers_autoprobe"):assert_ok()
    t:defer(function() a:run("echo 1 >/sys/bus/virtio/drivers_autoprobe") end)
    local bridge = provium:bridge("mute")
    bridge:attach(a)
    local status = bridge:nic(a):status()
    t:assert_eq(status.configured, false)
    t:assert_contains(status.reason, "no interface with this MAC address")
    t:assert_eq(bridge:nic(a):guest_name(), nil)
end)

test("configure = false leaves everything to the test", function(t)
    local raw = provium:bridge("raw", {configure = false})
    raw:attach({a, b})
    local nic = raw:nic(a)
    t:assert_eq(nic:ip(), nil)
    t:assert_eq(a:ip("raw"), nil)
    t:assert_eq(nic:status().configured, false)
    t:assert_contains(nic:status().reason, "configure = false")
    t:assert(not a:read_file("/etc/hosts"):find("%.raw"))
    for vm, address in pairs{[a] = "192.0.2.1", [b] = "192.0.2.2"} do
        local name = vm:nic("raw"):guest_name()
        t:assert(not vm:run("ip addr show " .. name).stdout:find("inet "))
        vm:run(("ip link set %s up; ip addr add %s/24 dev %s"):format(name, address, name)):assert_ok()
    end
    t:assert(pings(a, "192.0.2.2"))
    t:assert(not pings(a, "192.0.2.254"), "nobody else is there")
end)

test("options: subnets, MTU, resolv.conf by force", function(t)
    local own = provium:bridge("own", {subnet = {v4 = "10.200.0.0/28", v6 = "fd00:1::/64"}, mtu = 9000, dns = "force"})
    a:write_file("/etc/resolv.conf", "nameserver 192.0.2.53\n")
    own:attach({a, b})
    t:assert_eq(json.encode(own:subnet()),
        '{"gateway":"10.200.0.1","gateway6":"fd00:1::1","mtu":9000,"v4":"10.200.0.0/28","v6":"fd00:1::/64"}')
    t:assert_eq(a:ip("own"), "10.200.0.2")
    t:assert_eq(a:ip(own, 6), "fd00:1::2")
    t:assert(not a:read_file("/etc/resolv.conf"):find("192.0.2.53", 1, true))
    t:assert_contains(a:read_file("/etc/resolv.conf"), "search lan own")
    a:run("ping -c 1 -W 5 -s 8900 b.own"):assert_ok()
    t:assert_eq(provium:bridge("own", {subnet = {v4 = "10.200.0.0/28", v6 = "fd00:1::/64"}}), own)
    local cases = {
        [function() provium:bridge("own", {mtu = 1500}) end] = "bridge `own` exists with another mtu",
        [function() provium:bridge("x", {mtu = 20}) end] = "mtu must be 68 to 65535",
        [function() provium:bridge("x", {subnet = "10.200.0.0/24"}) end] = "own",
        [function() provium:bridge("x", {subnet = "10.0.0.0/30"}) end] = "lab:bridge: bridge `x`:",
        [function() provium:bridge("x", {net = 1}) end] = 'unknown key "net"',
        [function() provium:bridge("") end] = "bad name",
        [function() provium:bridge("pack") end] = "reserved name",
    }
    for call, part in pairs(cases) do
        local message = message_of(t, call)
        t:assert_contains(message, part)
        local _, places = message:gsub("nic.test.lua:%d+: ", "")
        t:assert_eq(places, 1, message)
    end
end)

test("a name may be a member before its VM exists", {timeout = "1m"}, function(t)
    local bridge = provium:bridge("early")
    bridge:attach({"later", a})
    t:assert_contains(bridge:nic("later"):status().reason, "no VM `later`")
    local later = provium:vm("later", "default")
    later:boot()
    t:assert_eq(json.encode(bridge:nic(later):status()), '{"configured":true,"link":true}')
    t:assert(pings(later, "a.early"))
end)

test("a VM that is over has left its bridges", function(t)
    t:assert_eq(table.concat(lan:members(), ","), "a,b")
    t:assert(not a:read_file("/etc/hosts"):find("later"))
end)

-- The packets of a classic pcap, as strings.
local function read_pcap(bytes, magic)
    assert(string.unpack("<I4", bytes) == magic, "magic")
    assert(string.unpack("<I4", bytes, 21) == 1, "Ethernet")
    local packets, at = {}, 25
    while at <= #bytes do
        local _, _, size, whole = string.unpack("<I4I4I4I4", bytes, at)
        assert(size == whole and at + 16 + size - 1 <= #bytes, "whole records")
        packets[#packets + 1] = bytes:sub(at + 16, at + 15 + size)
        at = at + 16 + size
    end
    return packets
end

test("captures of NICs: what was sent before, what came after", function(t)
    t:defer(function() lan:reset() end)
    pings(a, b:ip()) -- they know each other's address
    lan:impair{from = "a", to = "b", loss = 100}
    local sent, got = a:nic("lan"):capture{filter = "icmp", precision = "ns"}, b:nic("lan"):capture{filter = "icmp"}
    local accepted, delivered = lan:capture{filter = "icmp"}, lan:capture{filter = "icmp", point = "delivered"}
    t:assert(not a:run("ping -c 2 -i 0.2 -W 1 " .. b:ip()):ok())
    t:assert_eq(#read_pcap(table.concat(sent:drain("300ms")), 0xa1b23c4d), 2)
    t:assert_eq(#read_pcap(table.concat(got:drain("300ms")), 0xa1b2c3d4), 0)
    t:assert_eq(#read_pcap(table.concat(accepted:drain("300ms")), 0xa1b2c3d4), 2)
    t:assert_eq(#read_pcap(table.concat(delivered:drain("300ms")), 0xa1b2c3d4), 0)
    local stats = accepted:stats()
    t:assert_eq(stats.packets, 2)
    t:assert_eq(stats.dropped, 0)
    t:assert(stats.bytes >= 2 * 98, stats.bytes)
    lan:reset()
    lan:impair{from = "a", to = "b", duplicate = 100}
    a:run("ping -c 1 -W 5 " .. b:ip()):assert_ok()
    wait_until(function() return delivered:stats().packets >= 4 end)
    t:assert_eq(accepted:stats().packets, 5) -- one request, of which b answered both copies
    t:assert_eq(lan:stats().duplicated > 0, true)
end)

test("a capture into a file, read back by tcpdump where there is one", function(t)
    local path = os.tmpname()
    t:defer(function() os.remove(path) end)
    local cap = lan:capture{file = path, filter = "icmp[icmptype] = icmp-echo"}
    a:run("ping -c 3 -i 0.2 -W 5 " .. b:ip()):assert_ok()
    t:assert_eq(cap:next(0.1), nil)
    cap:close()
    local packets = read_pcap(io.open(path, "rb"):read("a"), 0xa1b2c3d4)
    t:assert_eq(#packets, 3)
    t:assert_eq(packets[1]:byte(24), 1)
    -- As root, tcpdump wants to become another user, which nobody can in here; without an id it is nobody already.
    if os.execute("unshare -U tcpdump --version >/dev/null 2>&1") then
        local text = io.popen("unshare -U tcpdump -n -r " .. path .. " 2>/dev/null"):read("a")
        local _, count = text:gsub("ICMP echo request", "")
        t:assert_eq(count, 3)
        t:assert_contains(text, a:ip() .. " > " .. b:ip())
    end
    t:assert_contains(message_of(t, function() lan:capture{file = "/no/such/directory/x"} end), "No such file")
    t:assert_contains(message_of(t, function() lan:capture{filter = "no such thing"} end), "filter")
    t:assert_contains(message_of(t, function() lan:capture{precision = "ms"} end), 'precision must be "us" or "ns"')
    t:assert_contains(message_of(t, function() a:nic("lan"):capture{point = "sent"} end), 'unknown key "point" (accepted: file, filter, precision)')
    t:assert_contains(message_of(t, function() a:console():read():stats() end), "the stream is no capture")
end)

test("a closed bridge ends its captures after what is pending", function(t)
    local bridge = provium:bridge("over")
    bridge:attach({a, b})
    local cap = bridge:capture{filter = "icmp"}
    a:run("ping -c 1 -W 5 b.over"):assert_ok()
    bridge:close()
    t:assert_eq(#read_pcap(table.concat(cap:drain("5s")), 0xa1b2c3d4), 2)
    t:assert(cap:eof())
    t:assert_contains(message_of(t, function() bridge:attach(a) end), "bridge `over` is closed")
end)

test("counters are the guest's, bytes without checksum", function(t)
    local nic, before = b:nic("lan"), b:nic("lan"):counters()
    local raw = guest_socket.raw(a, "eth0")
    local frame = ("\xff"):rep(6) .. ("\2"):rep(6) .. "\x88\xb5" .. ("x"):rep(100)
    for _ = 1, 10 do raw:send(frame) end
    raw:close()
    wait_until(function() return nic:counters().rx_packets >= before.rx_packets + 10 end)
    local after = nic:counters()
    t:assert_eq(after.rx_bytes - before.rx_bytes >= 10 * #frame, true)
    t:assert_eq(after.errors, 0)
    b:shutdown()
    b:boot()
    t:assert(nic:counters().rx_packets < after.rx_packets, "they restart at each boot")
end)
