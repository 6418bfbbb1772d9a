-- The way out, and back in: two machines that share no bridge meet on the host's loopback, by a forwarded port.
provium:vm("web", "default")
provium:vm("client", "default")
local inside, outside = provium:bridge("inside"), provium:bridge("outside")
inside:attach(provium.web)
outside:attach(provium.client)
provium:boot()

inside:enable_uplink{forward = {{host = 0, guest = 80, vm = "web"}}}
outside:enable_uplink{host_loopback = true}
local port = inside:uplink().forwards[1].host
provium.web:run_async("nc -ll -p 80 -e echo hello")

local function ask()
    return provium.client:run(("nc -w 5 %s %d </dev/null"):format(outside:subnet().gateway, port)).stdout
end

test("a port of the host leads into the guest", function(t)
    wait_until(function() return ask() == "hello\n" end, {timeout = 30, desc = "an answer of the server"})
end)

test("a guest that is cut off has no way out", function(t)
    t:defer(function() outside:unisolate("client") end)
    outside:isolate("client")
    t:assert_eq(ask(), "")
    outside:unisolate("client")
    wait_until(function() return ask() == "hello\n" end, {timeout = 30, desc = "an answer again"})
end)
