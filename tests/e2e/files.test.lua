-- vm: files by path.
local vm = provium:vm("box", "default"):boot()

test("what is written is read, whatever the bytes", function(t)
    for _, data in ipairs{"", "x", "\0\1\255", ("0123456789abcdef"):rep(100000)} do
        vm:write_file("/tmp/data", data)
        t:assert(vm:read_file("/tmp/data") == data, #data .. " bytes")
        t:assert_eq(vm:stat("/tmp/data").size, #data)
    end
end)

test("the mode is 0644 for new files and kept for old ones", function(t)
    vm:write_file("/tmp/mode", "1")
    t:assert_eq(vm:stat("/tmp/mode").perm, 420)
    vm:run("chmod 600 /tmp/mode"):assert_ok()
    vm:write_file("/tmp/mode", "2")
    t:assert_eq(vm:stat("/tmp/mode").perm, 384)
end)

test("files without a size are read to their end", function(t)
    t:assert_contains(vm:read_file("/proc/cpuinfo"), "processor")
    t:assert_contains(vm:read_file("/proc/self/comm"), "provium")
end)

test("errors end in the errno", function(t)
    t:assert_contains(t:assert_raises(function() vm:read_file("/no") end),
        'vm "box": read_file "/no": ENOENT: No such file or directory')
    t:assert_contains(t:assert_raises(function() vm:write_file("/proc/no", "") end), "ENOENT")
    t:assert_contains(t:assert_raises(function() vm:read_file("/tmp") end), "EISDIR")
    t:assert_contains(t:assert_raises(function() vm:unlink("/no") end), 'unlink "/no": ENOENT')
    t:assert_contains(t:assert_raises(function() vm:rename("/x", "/y") end), 'rename "/x" -> "/y": ENOENT')
    t:assert_contains(t:assert_raises(function() vm:write_file("/tmp/x", 5) end), "data must be a string")
    local ok, message = pcall(vm.read_file, vm, "/no")
    t:assert(not ok)
end)

test("stat follows links unless told not to", function(t)
    vm:run("ln -sf /etc/passwd /tmp/link; mkfifo /tmp/fifo; mknod /tmp/null c 1 3"):assert_ok()
    t:assert_eq(vm:stat("/tmp/link").entry_type, "file")
    t:assert_eq(vm:stat("/tmp/link", {follow = false}).entry_type, "symlink")
    t:assert_eq(vm:stat("/tmp/fifo").entry_type, "fifo")
    t:assert_eq(vm:stat("/tmp/null").entry_type, "char_device")
    t:assert_eq(vm:stat("/tmp/null").rdev, 259)
    t:assert_eq(vm:stat("/").entry_type, "directory")
    local st = vm:stat("/etc/passwd")
    t:assert_eq(st.uid, 0)
    t:assert_eq(st.nlink, 1)
    t:assert(math.abs(st.mtime - st.mtime_ns / 1e9) < 1)
end)

test("directories: made, listed in order, removed", function(t)
    vm:mkdir("/tmp/a/b/c", {parents = true})
    vm:mkdir("/tmp/a/b/c", {parents = true})
    vm:mkdir("/tmp/a/exact", {perm = 511})
    t:assert_eq(vm:stat("/tmp/a/exact").perm, 511)
    t:assert_contains(t:assert_raises(function() vm:mkdir("/tmp/a") end), "EEXIST")
    for _, name in ipairs{"zeta", "Alpha", "ünï", "with space"} do vm:write_file("/tmp/a/b/" .. name, "") end
    local names = {}
    for i, entry in ipairs(vm:listdir("/tmp/a/b")) do names[i] = entry.name .. ":" .. entry.entry_type end
    t:assert_eq(table.concat(names, " "), "Alpha:file c:directory with space:file zeta:file ünï:file")
    t:assert_contains(t:assert_raises(function() vm:unlink("/tmp/a") end), "ENOTEMPTY")
    vm:unlink("/tmp/a/exact")
    vm:rename("/tmp/a/b/zeta", "/tmp/a/b/omega")
    t:assert_eq(vm:stat("/tmp/a/b/omega").size, 0)
end)

test("a directory of 10 000 entries is listed whole", function(t)
    vm:run("mkdir /tmp/many && cd /tmp/many && seq -w 10000 | xargs touch", {timeout = 60}):assert_ok()
    local entries = vm:listdir("/tmp/many")
    t:assert_eq(#entries, 10000)
    t:assert_eq(entries[10000].name, "10000")
end)

test("the file system is full: the error says so and the machine goes on", function(t)
    vm:run("mkdir -p /tmp/small && mount -t tmpfs -o size=64k none /tmp/small"):assert_ok()
    t:assert_contains(t:assert_raises(function() vm:write_file("/tmp/small/x", ("x"):rep(200000)) end), "ENOSPC")
    vm:run("true"):assert_ok()
end)
