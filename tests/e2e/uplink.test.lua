-- The way out: another provium on a "host" with a few servers (helpers/host.pl). That is a network namespace of its own
-- where one can be made, else the sandbox's, whose loopback is all there is, and no DNS.
local inner = require("helpers.inner")

local SUITE = [==[
local guest_socket = require("guest_socket")
local dir, whole = %q, %s
local vm, router, far = provium:vm("a", "default"), provium:vm("router", "default"), provium:vm("far", "default")
local root, lan, inner = provium, provium:bridge("lan", {subnet = "10.9.0.0/24"}), provium:bridge("inner")
lan:attach({vm, router})
inner:attach({router, far})
provium:boot()
local OUTSIDE = whole and "192.0.2.1" or "10.9.0.1"
local IPV6 = whole and io.open("/proc/net/if_inet6") ~= nil

local function enable() return lan:enable_uplink{host_loopback = not whole} end

-- Sends the text to a port of the host; then answer() is what comes back.
local function tell(proto, port, text)
    local to = io.open(dir .. "/ask", "w")
    to:write(proto, " ", port, " ", text, "\n")
    to:close()
end

local function answer()
    local from = io.open(dir .. "/answer")
    local text = from:read("a")
    from:close()
    return text
end

local function echoed(address, text)
    return vm:run("printf '" .. text .. "' | nc -w 10 " .. address .. " 18001").stdout
end

test("without an uplink there is no way out", function(t)
    t:assert_eq(lan:uplink(), nil)
    t:assert(not vm:run("ip route"):assert_ok().stdout:find("default"))
    t:assert_eq(echoed(OUTSIDE, "x"), "")
    t:assert(not vm:run("nslookup known.example."):ok())
    t:assert_eq(lan:disable_uplink(), lan)
end)

test("TCP, UDP, DNS and echo", function(t)
    t:defer(function() lan:disable_uplink() end)
    t:assert_eq(enable(), lan)
    local up = lan:uplink()
    t:assert_eq(#up.forwards, 0)
    t:assert_eq(up.ipv6, IPV6)
    t:assert_contains(vm:run("ip route").stdout, "default via 10.9.0.1")
    t:assert_eq(echoed(OUTSIDE, "hello"), "hello")
    local udp = guest_socket.udp(vm)
    udp:sendto(OUTSIDE, 18002, "datagram")
    t:assert_eq(udp:receive(), "datagram")
    udp:close()
    t:assert_contains(vm:run("nslookup a.lan"):assert_ok().stdout, "10.9.0.10")
    if IPV6 then
        t:assert_contains(vm:run("ip -6 route").stdout, "default via " .. lan:subnet().gateway6)
        t:assert_eq(echoed("2001:db8::1", "six"), "six")
    end
    if not whole then return end
    t:assert_eq(table.concat(up.dns, ","), "127.0.0.1")
    t:assert_contains(vm:run("nslookup known.example."):assert_ok().stdout, "192.0.2.7")
    t:assert_contains(vm:run("nslookup unknown.example. 2>&1").stdout, "NXDOMAIN")
    if up.icmp then vm:run("ping -c 1 -W 10 " .. OUTSIDE):assert_ok() end
end)

test("a megabyte there and back is the same megabyte", function(t)
    t:defer(function() lan:disable_uplink() end)
    enable()
    vm:run("dd if=/dev/urandom of=/tmp/sent bs=64k count=16 2>/dev/null"):assert_ok()
    vm:run("nc -w 20 " .. OUTSIDE .. " 18001 </tmp/sent >/tmp/got"):assert_ok()
    vm:run("cmp /tmp/sent /tmp/got"):assert_ok()
end)

test("the host's own loopback only when asked for", function(t)
    t:defer(function() lan:disable_uplink() end)
    lan:enable_uplink()
    t:assert_eq(echoed("10.9.0.1", "x"), "")
    lan:disable_uplink()
    lan:enable_uplink{host_loopback = true}
    t:assert_eq(echoed("10.9.0.1", "loop"), "loop")
end)

test("ports of the host lead into the guest", function(t)
    t:defer(function() lan:disable_uplink() end)
    lan:enable_uplink{forward = {{host = 0, guest = 9001, vm = vm}, {host = 0, guest = 9002, vm = "a", proto = "udp"}}}
    local tcp, udp = table.unpack(lan:uplink().forwards)
    t:assert(tcp.host > 0)
    t:assert_eq(table.concat({tcp.guest, tcp.vm, tcp.proto, tcp.bind}, " "), "9001 a tcp 127.0.0.1")
    t:assert_eq(udp.proto, "udp")
    local server = vm:run_async("nc -l -p 9001 -e cat")
    wait_until(function() return vm:run("netstat -ltn").stdout:find(":9001 ", 1, true) end, {timeout = 20})
    tell("tcp", tcp.host, "into the guest")
    t:assert_eq(answer(), "into the guest\n")
    server:kill()
    local socket = guest_socket.udp(vm, 9002)
    tell("udp", udp.host, "datagram")
    local bytes, sender = socket:receive()
    t:assert_eq(bytes, "datagram\n")
    socket:reply(sender, "and back")
    t:assert_eq(answer(), "and back")
    socket:close()
end)

test("isolated, or cut from the gateway: no way out", function(t)
    t:defer(function() lan:reset() lan:disable_uplink() end)
    enable()
    lan:isolate(vm)
    t:assert_eq(echoed(OUTSIDE, "x"), "")
    lan:unisolate(vm)
    t:assert_eq(echoed(OUTSIDE, "back"), "back")
    lan:impair{from = "a", to = "@gateway", loss = 100}
    t:assert_eq(echoed(OUTSIDE, "x"), "")
    lan:reset()
    t:assert_eq(echoed(OUTSIDE, "again"), "again")
end)

test("a guest as router", function(t)
    router:run("echo 1 >/proc/sys/net/ipv4/ip_forward"):assert_ok()
    far:run("ip route add " .. lan:subnet().v4 .. " via " .. router:ip("inner")):assert_ok()
    vm:run("ip route add " .. inner:subnet().v4 .. " via " .. router:ip("lan")):assert_ok()
    local function pings() return far:run("ping -c 1 -W 3 " .. vm:ip()) end
    wait_until(function() return pings():ok() end, {timeout = 30, desc = "an answer through the router"})
    t:assert_contains(pings().stdout, "ttl=63")
    lan:partition(vm, router)
    t:assert(not pings():ok())
    lan:restore_all()
    wait_until(function() return pings():ok() end, {timeout = 30, desc = "an answer after the partition"})
end)

test("who is partitioned from its router has no way out", function(t)
    t:defer(function() inner:restore_all() lan:reset() lan:disable_uplink() end)
    enable()
    local proxy = router:run_async("nc -ll -p 80 -e nc -w 10 " .. OUTSIDE .. " 18001")
    local function out() return far:run("printf x | nc -w 5 " .. router:ip("inner") .. " 80").stdout == "x" end
    wait_until(out, {timeout = 60, desc = "the way out"})
    inner:partition(far, router)
    t:assert(not out())
    t:assert_eq(echoed(OUTSIDE, "others"), "others")
    inner:restore_all()
    wait_until(out, {timeout = 60, desc = "the way out, healed"})
    lan:partition_all() -- which the gateway is no party to
    t:assert(out())
    lan:isolate(router)
    t:assert(not out())
    proxy:kill()
end)

test("a bridge takes its uplink along", function(t)
    t:defer(function() lan:disable_uplink() end)
    local gone = provium:bridge("gone")
    gone:attach("a"):enable_uplink{forward = {{host = 0, guest = 80, vm = "a"}}}
    local port = gone:uplink().forwards[1].host
    gone:close()
    t:assert(not vm:run("ip route").stdout:find("default"))
    lan:enable_uplink{forward = {{host = port, guest = 80, vm = "a"}}}
    t:assert_eq(lan:uplink().forwards[1].host, port)
end)

test("turning it off cuts what is open", function(t)
    t:defer(function() lan:disable_uplink() end)
    enable()
    local open = vm:run_async("(echo first; sleep 1000) | nc " .. OUTSIDE .. " 18001")
    open:stdout_stream():expect("first", 20)
    lan:disable_uplink()
    t:assert_eq(lan:uplink(), nil)
    t:assert(not vm:run("ip route").stdout:find("default"))
    t:assert_eq(echoed(OUTSIDE, "x"), "")
    open:kill()
end)

test("where the host has no route the guest is told", function(t)
    t:defer(function() lan:disable_uplink() end)
    enable()
    local r = vm:run("nc -w 30 198.51.100.1 80 </dev/null", {timeout = 40})
    t:assert(not r:ok())
    t:assert(r.status ~= "timed_out", "unreachable, at once")
end)

test("a port is free again as soon as the uplink is off", function(t)
    t:defer(function() lan:disable_uplink() end)
    lan:enable_uplink{forward = {{host = 0, guest = 80, vm = "a"}}}
    local port = lan:uplink().forwards[1].host
    for _ = 1, 5 do
        lan:disable_uplink()
        lan:enable_uplink{forward = {{host = port, guest = 80, vm = "a"}}}
    end
    t:assert_eq(lan:uplink().forwards[1].host, port)
end)

test("a lab comes back from its snapshot with its uplink", {timeout = "2m"}, function(t)
    t:defer(function() lan:disable_uplink() end)
    lan:enable_uplink{host_loopback = true, forward = {{host = 0, guest = 9001, vm = "a"}}}
    local before = json.encode(lan:uplink())
    local snapshot = root:snapshot()
    t:defer(function() snapshot:delete() end)
    lan:disable_uplink()
    root:restore(snapshot)
    t:assert_eq(json.encode(lan:uplink()), before)
    t:assert_eq(echoed("10.9.0.1", "restored"), "restored")
end)

test("mistakes change nothing", function(t)
    local cases = {
        [{forward = {{host = 18001, guest = 80, vm = "a"}}}] = "port 18001 on 127.0.0.1: Address already in use",
        [{forward = {{host = 0, guest = 80, vm = "ghost"}}}] = "`ghost` is not a member of bridge `lan`",
        [{forward = {{host = 0, guest = 80, vm = "a", bind = "here"}}}] = "`here` is not an address",
        [{forward = {{host = 70000, guest = 80, vm = "a"}}}] = "forward 1: host must be a port of 0 to 65535 (got 70000)",
        [{forward = {{host = 0, vm = "a"}}}] = "forward 1: guest must be a port of 1 to 65535 (got nil)",
        [{forward = {{host = 0, guest = 80, vm = "a", proto = "sctp"}}}] = 'proto must be "tcp" or "udp" (got sctp)',
        [{forward = {{host = 0, guest = 80, vm = "a", to = 1}}}] = 'unknown key "to"',
        [{loopback = true}] = 'unknown key "loopback"',
        [{host_loopback = 1}] = "host_loopback must be true or false",
    }
    for opts, message in pairs(cases) do
        t:assert_contains(t:assert_raises(function() lan:enable_uplink(opts) end), message)
        t:assert_eq(lan:uplink(), nil)
    end
    enable()
    t:defer(function() lan:disable_uplink() end)
    t:assert_contains(t:assert_raises(function() lan:enable_uplink() end), "has an uplink already")
    t:assert_eq(echoed(OUTSIDE, "still"), "still")
end)
]==]

test("uplinks reach the host's network, and nothing else does", {timeout = "4m"}, function(t)
    local whole = os.execute("unshare -Urmn true 2>/dev/null") == true
    local helpers = io.popen("readlink -f " .. inner.quote(debug.getinfo(inner.run, "S").source:match("^@(.*)/"))):read("l")
    local dir, script = inner.directory(t), helpers .. "/host.pl"
    local socket = io.open(helpers .. "/guest_socket.lua"):read("a")
    local result = inner.run(t, {["uplink.test.lua"] = SUITE:format(dir, whole), ["guest_socket.lua"] = socket}, "--json uplink.test.lua", {
        dir = dir, env = ("%s %s %s %s"):format(whole and "unshare -Urmn perl" or "perl", inner.quote(script), whole and "whole" or "part", inner.quote(dir))})
    t:assert_eq(result.code, 0)
    for _, one in ipairs(inner.json(result)["uplink.test.lua"].tests) do
        t:assert_eq(one.status, "passed", one.name .. ": " .. tostring(one.message))
    end
end)
