-- Kernel calls, batches and transfers: every form, and what is refused before anything is sent.
local inner = require("helpers.inner")
local vm = provium:vm("box", "default"):boot()

local GETPID, READ, WRITE, PIPE2, WRITEV, GETTID = 39, 0, 1, 293, 20, 186

local function pipe()
    return string.unpack("<i4i4", vm:syscall(PIPE2, {args = {0, 0}, bufs = {("\0"):rep(8)}, ptrs = {0}}).out_bufs[1])
end

test("results: ret, result, errno, out_bufs", function(t)
    local r = vm:syscall(GETPID)
    t:assert_eq(r.ret, r.result)
    t:assert_eq(r.errno, 0)
    t:assert_eq(#r.out_bufs, 0)
    local bad = vm:syscall(5000)
    t:assert_eq(bad.ret, -1)
    t:assert_eq(bad.errno, 38, "ENOSYS: numbers above 1000 pass through")
    t:assert_eq(vm:syscall(GETTID).ret, vm:syscall(GETTID).ret, "one thread")
    local holes = vm:syscall(9, {args = {nil, 4096, 3, 0x22, -1}}) -- mmap; the first and the last are 0
    t:assert(holes.ret > 0)
end)

test("buffers: aligned, of their own length, returned", function(t)
    -- writev of two buffers, whose addresses go into a vector; then the vector itself is looked at
    local r, w = pipe()
    local sent = vm:syscall(WRITEV, {
        args = {w, 0, 2}, bufs = {string.pack("<I8I8I8I8", 0, 3, 0, 4), "abc", "xxdefg"}, ptrs = {1},
        nested = {{parent = 1, child = 2, offset = 0}, {parent = 1, child = 3, offset = 16, child_offset = 2}},
    })
    t:assert_eq(sent.ret, 7)
    local first, _, second = string.unpack("<I8I8I8", sent.out_bufs[1])
    t:assert_eq(first % 16, 0)
    t:assert_eq((second - 2) % 16, 0)
    t:assert_eq(vm:syscall(READ, {args = {r, 0, 16}, bufs = {("\0"):rep(16)}, ptrs = {1}}).out_bufs[1]:sub(1, 7), "abcdefg")
    t:assert_eq(vm:syscall(GETPID, {bufs = {"kept"}}).out_bufs[1], "kept")
end)

test("what is wrong with the arguments is said before the call", function(t)
    local cases = {
        [{args = {1, 2, 3, 4, 5, 6, 7}}] = "more than 6 arguments",
        [{bufs = {"x"}, ptrs = {6}}] = "slot outside 0..5",
        [{bufs = {"x"}, ptrs = {-1}}] = "slot outside 0..5",
        [{bufs = {"x", "y"}, ptrs = {1, 1}}] = "slot used twice",
        [{bufs = {"x"}, ptrs = {1, 2}}] = "more ptrs than bufs",
        [{bufs = {5.5}}] = "bufs[1] must be a string",
        [{bufs = {"12345678"}, nested = {{parent = 1, child = 2, offset = 0}}}] = "nested: index out of range",
        [{bufs = {"12345678"}, nested = {{parent = 1, child = 1, offset = 1}}}] = "nested: offset out of range",
        [{bufs = {"12345678"}, nested = {{parent = 1, child = 1, offset = 0, child_offset = 9}}}] = "nested: offset out of range",
        [{nested = {{parent = 0, child = 1, offset = 0}}}] = "out of range",
        [{argz = {}}] = 'unknown key "argz" (accepted: args, bufs, ptrs, nested)',
        [{bufs = {("x"):rep(65 << 20)}}] = "64 MiB",
    }
    for arguments, message in pairs(cases) do
        t:assert_contains(t:assert_raises(function() vm:syscall(GETPID, arguments) end), message)
    end
    t:assert_raises(function() vm:syscall("getpid") end)
    t:assert_contains(t:assert_raises(function() vm:read_mem(0, (64 << 20) + 1) end), "64 MiB")
end)

test("ioctl: by address, by value, with nested buffers", function(t)
    local r, w = pipe()
    vm:syscall(WRITE, {args = {w, 0, 5}, bufs = {"12345"}, ptrs = {1}})
    local result = vm:ioctl(r, 0x541B, ("\0"):rep(4)) -- FIONREAD
    t:assert_eq(result.ret, 0)
    t:assert_eq(result.errno, 0)
    t:assert_eq(string.unpack("<i4", result.out_data), 5)
    t:assert_eq(#result.out_bufs, 0)
    t:assert_eq(vm:ioctl(r, 0x5421, string.pack("<i4", 1)).ret, 0) -- FIONBIO
    t:assert_eq(vm:ioctl(r, 0x5450).ret, 0, "FIONCLEX")
    t:assert_eq(vm:ioctl(r, 0x5451, 0).ret, 0, "FIOCLEX, an integer by value")
    t:assert_eq(vm:ioctl(9999, 0x541B, "1234").errno, 9)
    -- SIOCGIFCONF: {int length; pointer}
    local socket = vm:syscall(41, 2, 2, 0).ret
    local conf = vm:ioctl(socket, 0x8912, string.pack("<i4i4I8", 400, 0, 0), {bufs = {("\0"):rep(400)}, ptr_offsets = {8}})
    t:assert_eq(conf.ret, 0)
    t:assert_eq(#conf.out_bufs[1], 400)
    t:assert_contains(t:assert_raises(function() vm:ioctl(socket, 1, "12345678", {bufs = {"x"}, ptr_offsets = {1}}) end), "out of range")
    t:assert_contains(t:assert_raises(function() vm:ioctl(socket, 1, "12345678", {bufs = {"x"}}) end), "as many entries")
end)

test("a cancelled kernel call is interrupted; state of the thread stays", {timeout = "2m"}, function(t)
    local result = inner.run(t, {["x.test.lua"] = [[
        local vm = provium:vm("box", "default"):boot()
        local tid
        test("blocked", {timeout = 3}, function(t)
            tid = vm:syscall(186).ret
            vm:syscall(34) -- pause
        end)
        test("after", function(t)
            t:assert_eq(vm:syscall(186).ret, tid)
        end)
    ]]}, "--json x.test.lua")
    local tests = inner.json(result)["x.test.lua"].tests
    t:assert_contains(tests[1].message, 'timed out after 3s in vm "box": syscall 34 (x.test.lua:5)')
    t:assert_eq(tests[2].status, "passed")
end)

test("a batch: arguments are checked while it is recorded", function(t)
    local mark = {}
    t:assert_eq(t:assert_raises(function()
        vm:batch(function(b) b:write_file("/tmp/never", "x") error(mark) end)
    end), mark)
    t:assert_contains(t:assert_raises(function() vm:stat("/tmp/never") end), "ENOENT")
    t:assert_contains(t:assert_raises(function() vm:batch(function(b) b:syscall(39, {}) end) end), "syscall takes integers")
    t:assert_eq(#vm:batch(function() end), 0)
    local results = vm:batch(function(b)
        t:assert_eq(b:mkdir("/tmp/b", {perm = 448}), nil)
        b:run("printf x >f; cat f", {cwd = "/tmp/b", env = {A = "1"}})
        b:run({"/no/such"})
        b:stat("/tmp/b/f", {follow = false})
        b:syscall(3, 9999)
    end)
    t:assert_eq(next(results[1].ok), nil)
    t:assert_eq(results[2].ok.stdout, "x")
    t:assert_contains(results[3].err, "ENOENT")
    t:assert_eq(results[4].ok.size, 1)
    t:assert_eq(results[5].ok.errno, 9)
    t:assert_eq(vm:stat("/tmp/b").perm, 448)
    vm:run("head -c 40000000 /dev/zero >/tmp/b/big"):assert_ok()
    local big = vm:batch(function(b) b:read_file("/tmp/b/big") b:read_file("/tmp/b/big") b:stat("/tmp") end)
    t:assert_eq(#big[1].ok, 40000000)
    t:assert_contains(big[2].err, "64 MiB")
end)

test("push_file and pull_file: relative paths, modes, both sides' errors", function(t)
    local result = inner.run(t, {
        ["sub/data.txt"] = "beside the test",
        ["sub/helper.lua"] = 'return function(vm) vm:push_file("data.txt", "/tmp/d", {auto_dep = false}) end',
        ["sub/x.test.lua"] = [[
            package.path = "sub/?.lua;" .. package.path
            test("relative", function(t)
                local vm = provium:vm("box", "default"):boot()
                vm:push_file("data.txt", "/tmp/a")
                t:assert_eq(vm:read_file("/tmp/a"), "beside the test")
                require("helper")(vm)
                t:assert_eq(vm:stat("/tmp/d").perm, 420)
                t:assert_eq(vm:pull_file("/tmp/a", "back.txt"), 15)
                t:assert_eq(io.open("sub/back.txt"):read("a"), "beside the test")
                t:assert_contains(t:assert_raises(function() vm:push_file("none", "/tmp/a") end), "ENOENT")
                t:assert_contains(t:assert_raises(function() vm:push_file("data.txt", "/no/dir") end), "guest")
                t:assert_contains(t:assert_raises(function() vm:pull_file("/tmp/a", "/no/dir/x") end), "host")
                t:assert_contains(t:assert_raises(function() vm:push_file("data.txt", "/x", {mode = 5000}) end), "mode")
            end)]]}, "sub")
    t:assert_eq(result.code, 0)
end)

test("a directory of 100 000 entries, and every type of entry", {timeout = "4m"}, function(t)
    vm:run("mkdir /tmp/many && mount -t tmpfs -o nr_inodes=0 none /tmp/many && cd /tmp/many && seq -w 100000 | xargs touch", {timeout = 180}):assert_ok()
    local entries = vm:listdir("/tmp/many")
    t:assert_eq(#entries, 100000)
    t:assert_eq(entries[77777].name, "077777")
    vm:run("mkdir /tmp/types && cd /tmp/types && mkdir d && touch f && ln -s f l && mkfifo p && mknod b b 1 1 && mknod c c 1 3")
    local socket = vm:syscall(41, 1, 1, 0).ret
    vm:syscall(49, {args = {socket, 0, 110}, bufs = {string.pack("<I2", 1) .. "/tmp/types/s" .. ("\0"):rep(96)}, ptrs = {1}})
    local kinds = {}
    for i, entry in ipairs(vm:listdir("/tmp/types")) do kinds[i] = entry.name .. "=" .. entry.entry_type end
    t:assert_eq(table.concat(kinds, " "), "b=block_device c=char_device d=directory f=file l=symlink p=fifo s=socket")
    t:assert_eq(vm:stat("/tmp/types/s").entry_type, "socket")
    t:assert_eq(vm:stat("/tmp/types/b").entry_type, "block_device")
    local st = vm:stat("/tmp/types/f")
    t:assert(st.ino > 0 and st.dev >= 0 and st.gid == 0 and st.nlink == 1)
    t:assert_contains(t:assert_raises(function() vm:listdir("/tmp/types/f") end), "ENOTDIR")
    t:assert_contains(t:assert_raises(function() vm:mkdir("/tmp/a", {perm = 5000}) end), "perm")
    t:assert_contains(t:assert_raises(function() vm:stat("/", {folow = false}) end), 'unknown key "folow" (accepted: follow)')
end)
