-- Two machines on one bridge: they know each other by name, and the test decides what the wire does.
provium:vm("a", "default")
provium:vm("b", "default")
local lan = provium:bridge("lan")
lan:attach({provium.a, provium.b})
provium:boot()

test("they reach each other by name", function(t)
    provium.a:run("ping -c 1 b.lan"):assert_ok()
end)

test("a partition cuts them, and heals", function(t)
    lan:partition("a", "b")
    t:assert(not provium.a:run("ping -c 1 -W 1 b.lan"):ok())
    lan:restore_all()
    provium.a:run("ping -c 1 -W 5 b.lan"):assert_ok()
end)

test("a slow link is slow", function(t)
    t:defer(function() lan:reset() end)
    lan:impair{latency = "50ms", jitter = "5ms"}
    local rtt = provium.a:run("ping -c 3 -i 0.2 b.lan"):assert_ok().stdout:match("min/avg/max = ([%d.]+)")
    t:assert(tonumber(rtt) >= 90, rtt)
end)
