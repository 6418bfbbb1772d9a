-- What a driver developer does: load a module, use it, read what the kernel said about it.
test("the loop driver makes a block device of a file", function(t)
    local vm = provium:vm("kernel", "default"):boot()
    vm:run("modprobe loop"):assert_ok()
    vm:run("dd if=/dev/zero of=/tmp/disk bs=1M count=4 && losetup /dev/loop0 /tmp/disk"):assert_ok()
    t:assert_eq(vm:read_file("/sys/block/loop0/size"), "8192\n")
end)

test("the kernel log is a file like any other", function(t)
    local vm = provium:vm("kernel", "default", {kernel_cmdline_append = "provium.example=1"}):boot()
    t:assert_contains(vm:read_file("/proc/cmdline"), "provium.example=1")
    t:assert_contains(vm:run("dmesg"):assert_ok().stdout, "Linux version")
end)
