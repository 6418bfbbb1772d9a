-- The shape of the event stream, field by field and byte by byte: a change here is a new PROTOCOL_VERSION.
local inner = require("helpers.inner")
local events = require("helpers.events")

local FIELDS = {
    run_started = "argv files host input_hash protocol_version provium_version seed shard total",
    file_discovered = "declared_claim fixture_refs path repeat",
    file_blocked = "path reason waiting_for",
    file_dispatched = "attempt path pid reservation worker",
    file_completed = "attempt detail duration_ns failed passed path skipped status waited_ns",
    test_started = "attempt file line meta name path",
    test_skipped = "attempt log meta name path reason",
    test_passed = "attempt duration_ns earlier file flaky line log meta name path",
    test_failed = "attempt console_excerpt duration_ns file line log meta name path reason traceback will_retry",
    vm_spawned = "ahead boot_ns cid cpus file memory_bytes profile source vm_name",
    vm_shutdown = "cid duration_ns file reason vm_name",
    pool_state = "available in_flight psi_pct queued used vms",
    claim_acquired = "amount path",
    claim_released = "amount path",
    fixture_build_started = "file key path",
    fixture_build_waiting = "file held_by_file key path",
    fixture_build_done = "duration_ns error file key path snapshot_bytes",
    fixture_cache_hit = "file hot key path restore_ns",
    run_completed = "duration_ns exit_code failed files files_failed flaky interrupted not_run passed skipped",
}

-- Values that differ between runs and machines.
local varying = {}
for word in ([[ts argv input_hash host total provium_version pid cid key psi_pct duration_ns waited_ns boot_ns restore_ns
        snapshot_bytes traceback]]):gmatch("%S+") do varying[word] = true end

local BYTES = {
    run_started = [=[\83\a2ts{integer}\a4kind\abrun_started\a7payload\89\b0protocol_version\02\afprovium_version{string}\a4argv{table}\a4seed\05\a5shard\a31/1\aainput_hash{string}\a5files\03\a5total{map}\a4host{map}]=],
    file_discovered = [=[\83\a2ts{integer}\a4kind\affile_discovered\a7payload\84\a4path\aaa.test.lua\acfixture_refs\90\aedeclared_claim\82\acmemory_bytes\ce\04\00\00\00\a4cpus\01\a6repeat\01]=],
    file_blocked = [=[\83\a2ts{integer}\a4kind\acfile_blocked\a7payload\83\a4path\aaf.test.lua\abwaiting_for\82\acmemory_bytes\ce\03 \00\00\a4cpus\00\a6reason\a4jobs]=],
    file_dispatched = [=[\83\a2ts{integer}\a4kind\affile_dispatched\a7payload\85\a4path\aaa.test.lua\abreservation\82\acmemory_bytes\ce\07 \00\00\a4cpus\01\a7attempt\01\a6worker\00\a3pid{integer}]=],
    file_completed = [=[\83\a2ts{integer}\a4kind\aefile_completed\a7payload\89\a4path\aaa.test.lua\a6status\a6failed\abduration_ns{integer}\a7attempt\01\a9waited_ns{integer}\a6passed\01\a6failed\01\a7skipped\01\a6detail\c0]=],
    test_started = [=[\83\a2ts{integer}\a4kind\actest_started\a7payload\86\a4path\aaa.test.lua\a7attempt\01\a4file\aaa.test.lua\a4line\02\a4meta\84\a2at\82\a1a\c4\01\ff\a1b\cb?\f8\00\00\00\00\00\00\a1n\94\01\ff\c3\cf\00\00\01\00\00\00\00\00\a4spec\a1S\a4tags\92\a1x\a1y\a4name\a4good]=],
    test_skipped = [=[\83\a2ts{integer}\a4kind\actest_skipped\a7payload\86\a4path\aaa.test.lua\a7attempt\01\a3log\90\a4meta\81\a4skip\c3\a4name\a3off\a6reason\b3skipped (meta.skip)]=],
    test_passed = [=[\83\a2ts{integer}\a4kind\abtest_passed\a7payload\8a\a4path\aaa.test.lua\a7attempt\01\a5flaky\c2\a7earlier\c0\abduration_ns{integer}\a4file\aaa.test.lua\a4line\02\a3log\91\a2\c3\a4\a4meta\84\a2at\82\a1a\c4\01\ff\a1b\cb?\f8\00\00\00\00\00\00\a1n\94\01\ff\c3\cf\00\00\01\00\00\00\00\00\a4spec\a1S\a4tags\92\a1x\a1y\a4name\a4good]=],
    test_failed = [=[\83\a2ts{integer}\a4kind\abtest_failed\a7payload\8c\a4path\aaa.test.lua\a7attempt\01\aawill_retry\c2\afconsole_excerpt\a0\abduration_ns{integer}\a4file\aaa.test.lua\a4line\03\a3log\91\a3one\a4meta\80\a4name\a3bad\a6reason\b1a.test.lua:3: why\a9traceback{string}]=],
    vm_spawned = [=[\83\a2ts{integer}\a4kind\aavm_spawned\a7payload\89\a4file\aae.test.lua\a7vm_name\a4base\a7profile\a5small\acmemory_bytes\ce\10\00\00\00\a3cid{integer}\a4cpus\01\a7boot_ns{integer}\a6source\a4boot\a5ahead\c2]=],
    vm_shutdown = [=[\83\a2ts{integer}\a4kind\abvm_shutdown\a7payload\85\a4file\aae.test.lua\a7vm_name\a4base\a3cid{integer}\abduration_ns{integer}\a6reason\a8shutdown]=],
    pool_state = [=[\83\a2ts{integer}\a4kind\aapool_state\a7payload\86\a4used\82\acmemory_bytes\00\a4cpus\00\a9available\82\acmemory_bytes\ce@\00\00\00\a4cpus\02\a9in_flight\00\a6queued\00\a3vms\00\a7psi_pct{float}]=],
    claim_acquired = [=[\83\a2ts{integer}\a4kind\aeclaim_acquired\a7payload\82\a4path\aaa.test.lua\a6amount\82\acmemory_bytes\ce\04\00\00\00\a4cpus\01]=],
    claim_released = [=[\83\a2ts{integer}\a4kind\aeclaim_released\a7payload\82\a4path\aaa.test.lua\a6amount\82\acmemory_bytes\ce\04\00\00\00\a4cpus\01]=],
    fixture_build_started = [=[\83\a2ts{integer}\a4kind\b5fixture_build_started\a7payload\83\a4file\aae.test.lua\a4path\a4base\a3key{string}]=],
    fixture_build_waiting = [=[\83\a2ts{integer}\a4kind\b5fixture_build_waiting\a7payload\84\a4file\aaf.test.lua\a4path\a4base\acheld_by_file\aae.test.lua\a3key{string}]=],
    fixture_build_done = [=[\83\a2ts{integer}\a4kind\b2fixture_build_done\a7payload\86\a4file\aae.test.lua\a4path\a4base\abduration_ns{integer}\aesnapshot_bytes{integer}\a3key{string}\a5error\c0]=],
    fixture_cache_hit = [=[\83\a2ts{integer}\a4kind\b1fixture_cache_hit\a7payload\85\a4file\aaf.test.lua\a4path\a4base\a3key{string}\aarestore_ns{integer}\a3hot\c3]=],
    run_completed = [=[\83\a2ts{integer}\a4kind\adrun_completed\a7payload\8a\a9exit_code\01\abduration_ns{integer}\a5files\03\acfiles_failed\01\a6passed\03\a6failed\01\a7skipped\01\a5flaky\00\a7not_run\00\abinterrupted\c2]=],
}

-- Builds a fixture in one file while another waits for it, beside tests of every verdict.
local files = {
    ["provium.toml"] = '[profiles.small]\nkernel = "@bundled"\ninitrd = "@bundled"\ncmdline = "console=ttyS0 quiet panic=-1"\nmemory = "256M"\n',
    ["base.fixture.lua"] = 'io.open("begun", "w"):close() return provium:vm("base", "small"):boot():snapshot()',
    ["a.test.lua"] = [[
        provium:claim{memory = "64M", cpus = 1}
        test("good", {spec = "S", tags = {"x", "y"}, n = {1, -1, true, 1 << 40}, at = {b = 1.5, a = "\xff"}}, function(t) t:log("ä") end)
        test("bad", function(t) t:log("one") t:fail("why") end)
        test("off", {skip = true}, function() end)]],
    ["e.test.lua"] = 'test("builds", function() provium:vm_fixture("base") end)',
    ["f.test.lua"] = [[test("waits", function()
        wait_until(function() return io.open("begun") end, {timeout = 60})
        provium:vm_fixture("base")
    end)]],
}

test("every event has exactly its fields and its bytes", {timeout = "3m"}, function(t)
    local result = inner.run(t, files, "--psi-threshold 0 -j2 --mem 1G --cpus 2 --seed 5 --save-events ev --html out.html .", {env = "XDG_CACHE_HOME=cache"})
    local samples, names = {}, {}
    for _, event in ipairs(events.read(result.dir .. "/ev")) do
        local file, known = event.payload.file or event.payload.path or "", samples[event.kind]
        t:assert_eq(events.names[event], "kind payload ts")
        t:assert_eq(events.names[event.payload], FIELDS[event.kind], event.kind)
        -- Of files that may come in any order the first by name; the last pool_state is that of an empty pool.
        if not known or (known.payload.file or known.payload.path or "") > file or event.kind == "pool_state" then samples[event.kind] = event end
    end
    t:assert_eq(events.names[samples.run_started.payload.host], "kernel machine name")
    t:assert_eq(events.names[samples.pool_state.payload.used], "cpus memory_bytes")
    for kind in pairs(FIELDS) do
        t:assert(samples[kind], "no " .. kind)
        local shown = events.show(events.frames[samples[kind]], varying)
        t:log(("    %s = [=[%s]=],"):format(kind, shown))
        t:assert_eq(shown, BYTES[kind], kind)
    end
    local page = inner.read(result.dir .. "/out.html")
    for _, title in ipairs {"f.test.lua blocked: jobs", "builds fixture base", "waits for fixture base, built by e.test.lua", "vm base (256 MiB, small)"} do
        t:assert_contains(page, "<title>" .. title .. "</title>")
    end
    local spawned, ended = samples.vm_spawned.payload, samples.vm_shutdown.payload
    t:assert(spawned.cid >= 3 and spawned.cid == ended.cid, "one number")
    t:assert_eq(spawned.source, "boot")
    t:assert_eq(spawned.memory_bytes, 256 << 20)
    t:assert_eq(samples.fixture_build_waiting.payload.held_by_file, "e.test.lua")
end)

test("what a process leaves open ends with the ends of its consoles", {timeout = "2m"}, function(t)
    local result = inner.run(t, {["x.test.lua"] = [[
        local vm = provium:vm("m", "default", {memory = "256M"}):boot()
        test("dies", function(t)
            vm:run("echo last words >/dev/console"):assert_ok()
            vm:console():expect("last words")
            print("printed before")
            os.execute("kill -KILL $PPID")
        end)
        test("after", function() end)]]}, "--save-events ev --html out.html x.test.lua")
    t:assert_eq(result.code, 1)
    local failed = events.of(events.read(result.dir .. "/ev"), "test_failed")
    t:assert_contains(failed[1].console_excerpt, '--- vm "m"\n')
    t:assert_contains(failed[1].console_excerpt, "last words")
    t:assert(failed[1].duration_ns > 0, "as long as it ran")
    t:assert_eq(failed[2].console_excerpt, "")
    t:assert_contains(result.out, "console: last words")
    local page = inner.read(result.dir .. "/out.html")
    t:assert_contains(page, "last words")
    t:assert_contains(page, "<h3>standard output</h3><pre class=note>printed before\n</pre>")
end)
