-- kill -9 of provium at random moments: nothing of the run survives it.
local inner = require("helpers.inner")

local SUITE = [[
    local vm = provium:vm("victim", "default", {files = {{path = "/x", content = ("x"):rep(100000)}}})
    test("a", function() vm:boot() vm:run("sleep 100") end)
]]

test("no process, no temporary file and no broken cache entry is left", {timeout = "5m"}, function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", SUITE)
    os.execute("mkdir " .. inner.quote(dir .. "/tmp"))
    for round = 1, 20 do
        local mark = ("provium_mark_%d_%d"):format(os.time(), math.random(1, 1 << 40))
        local wait = math.random() * (round % 2 == 0 and 0.4 or 3)
        local killed = os.execute(([[cd %s && { env MARK=%s XDG_CACHE_HOME=%s/cache TMPDIR=%s/tmp %s x.test.lua >/dev/null 2>&1 & }
            sleep %.3f; kill -9 $! || exit 1; wait $! 2>/dev/null; true]]):format(inner.quote(dir), mark, inner.quote(dir),
            inner.quote(dir), inner.quote(inner.binary()), wait))
        t:assert(killed, "provium still ran after " .. wait .. " s")
        wait_until(function() return #inner.survivors(mark) == 0 end,
            {timeout = 10, desc = ("end of all processes, killed after %.3f s"):format(wait)})
    end
    local pipe = io.popen(("find %s/cache %s/tmp \\( -name '*tmp*' -o -type s \\) ! -path %s/tmp 2>/dev/null"):format(
        inner.quote(dir), inner.quote(dir), inner.quote(dir)))
    t:assert_eq(pipe:read("a"), "")
    pipe:close()
    local after = inner.run(t, {["y.test.lua"] = 'test("a", function() provium:vm("a", "default"):boot():run("true"):assert_ok() end)'},
        "y.test.lua", {dir = dir, env = "XDG_CACHE_HOME=" .. inner.quote(dir) .. "/cache"})
    t:assert_eq(after.code, 0)
end)

-- Is anybody listening on this TCP port of 127.0.0.1?
local function listens(port)
    for _, table in ipairs{"/proc/net/tcp", "/proc/net/tcp6"} do
        local text = inner.read_if_any(table)
        if text:find((":%04X %%x+:0000 0A"):format(port)) then return true end
    end
    return false
end

test("nor a port, a helper or a switch of a network with an uplink", {timeout = "2m"}, function(t)
    local dir = inner.directory(t)
    local mark = ("provium_mark_%d_%d"):format(os.time(), math.random(1, 1 << 40))
    inner.write(dir .. "/x.test.lua", ([[
        local vm, lan = provium:vm("victim", "default"), provium:bridge("lan")
        lan:attach(vm)
        test("a", function()
            vm:boot()
            lan:enable_uplink{host_loopback = true, forward = {{host = 0, guest = 80, vm = vm}}}
            local capture = lan:capture{file = %q}
            local file = io.open(%q, "w")
            file:write(lan:uplink().forwards[1].host, "\n")
            file:close()
            vm:run("ping " .. lan:subnet().gateway)
        end)]]):format(dir .. "/capture", dir .. "/port"))
    local pipe = io.popen(("cd %s && { env MARK=%s %s x.test.lua >/dev/null 2>&1 & } ; echo $!"):format(
        inner.quote(dir), mark, inner.quote(inner.binary())))
    local pid = pipe:read("l")
    pipe:close()
    t:defer(function() os.execute("kill -9 " .. pid .. " 2>/dev/null") end)
    wait_until(function() return inner.read_if_any(dir .. "/port"):find("\n") end, {timeout = 90, desc = "the uplink"})
    local port = tonumber((inner.read(dir .. "/port"):gsub("\n", "")))
    t:assert(listens(port), "the forwarded port, while it runs")
    os.execute("kill -9 " .. pid)
    wait_until(function() return #inner.survivors(mark) == 0 and not listens(port) end,
        {timeout = 20, desc = "end of all processes and of port " .. port})
end)

test("Ctrl-C ends the run in order", function(t)
    local dir = inner.directory(t)
    inner.write(dir .. "/x.test.lua", SUITE)
    local pipe = io.popen(("cd %s && { %s x.test.lua 2>&1 & } ; sleep 1.5; kill -INT $!; wait $!; echo exit $?"):format(
        inner.quote(dir), inner.quote(inner.binary())))
    local text = pipe:read("a")
    t:log(text)
    t:assert_contains(text, "exit 130")
    t:assert_contains(text, "1 file(s); 0 passed")
end)
