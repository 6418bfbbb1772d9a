-- The namespaces around a run.

test("the run has its own network: loopback and nothing else", function(t)
    local links = {}
    for line in io.lines("/proc/net/dev") do links[#links + 1] = line:match("^%s*(%w+):") end
    if not io.open("/proc/1/comm"):read("l"):find("provium") then t:skip("no sandbox on this host") end
    t:assert_eq(table.concat(links, ","), "lo")
    t:assert(os.execute("test $(cat /sys/class/net/lo/operstate) != down"))
end)

test("nobody here has a capability or can gain one", function(t)
    local status = io.open("/proc/self/status"):read("a")
    t:assert_eq(status:match("NoNewPrivs:%s*(%d)"), "1")
    if status:match("Uid:%s*(%d+)") ~= "0" then
        t:assert_eq(status:match("CapEff:%s*(%x+)"), "0000000000000000")
        t:assert_eq(status:match("CapBnd:%s*(%x+)"), "0000000000000000")
    end
end)

test("files belong to the user who ran it", function(t)
    local name = os.tmpname()
    local pipe = io.popen("stat -c %u " .. name .. "; id -u")
    t:assert_eq(pipe:read("l"), pipe:read("l"))
    os.remove(name)
end)
