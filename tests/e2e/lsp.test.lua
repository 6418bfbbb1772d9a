-- provium lsp-setup: the types for editors, compared with what test files really have.
local inner = require("helpers.inner")
local helper = require("helpers.stubs")

test("the files are written; settings of the user are kept", function(t)
    local result = inner.run(t, {}, "lsp-setup sub/dir")
    t:assert_eq(result.code, 0)
    t:assert_eq(result.out, "sub/dir/.provium-meta/types.lua\nsub/dir/.luarc.json\n")
    local settings = result.dir .. "/sub/dir/.luarc.json"
    t:assert_eq(json.decode(io.open(settings):read("a"))["runtime.version"], "Lua 5.4")
    inner.write(settings, "mine")
    result = inner.run(t, {}, "lsp-setup sub/dir", {dir = result.dir})
    t:assert_eq(result.code, 1)
    t:assert_contains(result.out, '"workspace.library": [".provium-meta"]')
    t:assert_contains(result.err, "sub/dir/.luarc.json exists and is kept")
    t:assert_eq(io.open(settings):read("a"), "mine")
    t:assert_eq(inner.run(t, {}, "lsp-setup --force sub/dir", {dir = result.dir}).code, 0)
    t:assert_contains(io.open(settings):read("a"), "workspace.library")
    t:assert_eq(inner.run(t, {["plain"] = ""}, "lsp-setup plain").code, 2)
end)

-- Sorted names of the keys.
local function names(set)
    local list = {}
    for name in pairs(set) do list[#list + 1] = name end
    table.sort(list)
    return list
end

-- What only one side has, as text; "" when they agree.
local function difference(there, here)
    local out = {}
    for _, name in ipairs(names(there)) do
        if not here[name] then out[#out + 1] = "missing in the stubs: " .. name end
    end
    for _, name in ipairs(names(here)) do
        if not there[name] then out[#out + 1] = "only in the stubs: " .. name end
    end
    return table.concat(out, "\n")
end

test("every method and global is in the stubs, and nothing else", function(t)
    local stubs = helper.parse(t)
    local bindings = helper.bindings(t)
    for _, class in ipairs{"lab", "vm", "RunResult", "process", "worker", "file", "stream", "syscall", "console", "clock",
                           "bridge", "nic", "batch", "t"} do
        t:assert(bindings[class .. ":" .. "close"] or next(bindings), class)
    end
    t:assert_eq(difference(bindings, stubs.methods), "")
    local globals = {}
    for name in pairs(_G) do globals[name] = true end
    for name in ("_G _VERSION assert collectgarbage coroutine debug dofile error getmetatable io ipairs load loadfile math next os " ..
                 "package pairs pcall print rawequal rawget rawlen rawset require select setmetatable string table tonumber " ..
                 "tostring type utf8 warn xpcall"):gmatch("%S+") do
        t:assert(globals[name], name)
        globals[name] = nil
    end
    t:assert_eq(difference(globals, stubs.globals), "")
    local json_functions = {}
    for name in pairs(json) do json_functions[name] = true end
    t:assert_eq(difference(json_functions, stubs.json), "")
end)

test("the keys of every option table are in the stubs, and nothing else", function(t)
    local stubs = helper.parse(t)
    local vm = provium:vm("a", "default")
    local bridge = provium:bridge("lan")
    local bogus = {no_such_key = 1}
    local calls = {
        boot_options = function() vm:boot(bogus) end,
        vm_options = function() provium:vm("b", "default", bogus) end,
        boot_file = function() vm:boot{files = {bogus}} end,
        run_options = function() vm:run("x", bogus) end,
        run_async_options = function() vm:run_async("x", bogus) end,
        stat_options = function() vm:stat("/", bogus) end,
        mkdir_options = function() vm:mkdir("/", bogus) end,
        push_options = function() vm:push_file("a", "b", bogus) end,
        open_mode = function() vm:open_file("/", bogus) end,
        tail_options = function() vm:tail_file("/", bogus) end,
        window_options = function() vm:fd_stream(1, bogus) end,
        syscall_options = function() vm:syscall(1, bogus) end,
        syscall_async_options = function() vm:syscall_async(1, bogus) end,
        nested_pointer = function() vm:syscall(1, {bufs = {""}, nested = {bogus}}) end,
        ioctl_options = function() vm:ioctl(1, 1, "", bogus) end,
        worker_options = function() vm:spawn_worker(bogus) end,
        barrier_options = function() vm:run_async("x", {barrier = bogus}) end,
        console_read_options = function() vm:console():read(bogus) end,
        console_write_options = function() vm:console():write("", bogus) end,
        claim_options = function() provium:claim(bogus) end,
        wait_options = function() wait_until(function() end, bogus) end,
        bridge_options = function() provium:bridge("other", bogus) end,
        detach_options = function() bridge:detach("a", bogus) end,
        direction = function() bridge:partition(bogus) end,
        impairment = function() bridge:impair(bogus) end,
        latency_options = function() bridge:add_latency(bogus) end,
        drop_options = function() bridge:drop_rate(bogus) end,
        bandwidth_options = function() bridge:bandwidth_limit(bogus) end,
        capture_options = function() bridge:capture(bogus) end,
        nic_capture_options = function() bridge:nic(vm):capture(bogus) end,
        subnets = function() provium:bridge("other", {subnet = bogus}) end,
        uplink_options = function() bridge:enable_uplink(bogus) end,
        forward = function() bridge:enable_uplink{forward = {bogus}} end,
        fixture_options = function() provium:vm_fixture("x", bogus) end,
    }
    bridge:attach(vm)
    stubs.tables.meta = nil -- any key is fine
    t:assert_eq(difference(calls, stubs.tables), "")
    for class, call in pairs(calls) do
        local message = t:assert_raises(call)
        t:assert_contains(message, 'unknown key "no_such_key"', class)
        local accepted = {}
        for key in message:match("%(accepted: (.-)%)"):gmatch("[%w_]+") do accepted[key] = true end
        t:assert_eq(difference(accepted, stubs.fields[class] or {}), "", "provium." .. class)
    end
end)
