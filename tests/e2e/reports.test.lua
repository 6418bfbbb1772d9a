-- Reports, read by parsers that are not ours. No machine is booted.
local inner = require("helpers.inner")
local shell, need, slurp = inner.shell, inner.need, inner.read

-- Everything that can become of a test and of a file, with text that has to be escaped everywhere.
local suite = {
    ["a.test.lua"] = [==[
        test("good", {spec = "S1", n = 3}, function(t) t:log("<hi> & \"you\"\0\27[1m ]]>") end)
        test("bad & <b>ugly</b>", function(t) t:fail("line one\nline two <script>alert(1)</script> 100%, a: b") end)
        test("later # not", function(t) t:skip("no | time # today\nor so") end)
        test("bytes \xff\xfe \u{fffe}", function(t) t:fail("\xff \1") end)]==],
    ["b.test.lua"] = [[
        test("dies", {tags = {"x"}}, function() os.execute("kill -KILL $PPID") end)
        test("after", function() end)]],
    ["c.test.lua"] = "syntax error here",
    ["d.test.lua"] = [[
        test("flaky", function(t)
            local seen = io.open("seen")
            if not seen then io.open("seen", "w"):close() t:fail("first time") end
            seen:close()
        end)]],
    ["e.test.lua"] = "",
}

local function run(t, args, opts)
    return inner.run(t, suite, "--retries 1 -j1 " .. args, opts)
end

test("JUnit follows the schema and holds every verdict", function(t)
    need(t, "xmllint")
    local result = run(t, "--junit out.xml")
    t:assert_eq(result.code, 1)
    local helper = debug.getinfo(inner.run, "S").source:match("^@(.*)/")
    local path = inner.quote(result.dir .. "/out.xml")
    local _, code = shell(t, ("xmllint --noout --schema %s/junit.xsd %s"):format(helper, path))
    t:assert_eq(code, 0, "valid")
    local function count(xpath)
        return tonumber((shell(t, ("xmllint --xpath %s %s"):format(inner.quote("count(" .. xpath .. ")"), path))):match("%d+"))
    end
    t:assert_eq(count("//testsuite"), 5)
    t:assert_eq(count("//testcase"), 9)
    t:assert_eq(count("//failure"), 4)
    t:assert_eq(count("//error"), 2)
    t:assert_eq(count("//skipped"), 1)
    t:assert_eq(count("//flakyFailure"), 1)
    t:assert_eq(count("//property[@name='spec'][@value='S1']"), 1)
    t:assert_eq(count("//testcase[@file='a.test.lua'][@line='2'][@classname='a.test.lua']"), 1)
    t:assert_eq(count("//testsuites[@failures='4'][@errors='2'][@tests='9']"), 1)
end)

test("TAP is read by Perl's parser", function(t)
    need(t, "prove")
    local result = run(t, "--tap")
    t:assert_eq(result.code, 1)
    t:assert(result.out:find("^TAP version 14\n"), "version line")
    -- Test::Harness of Debian 12 knows versions up to 13; for what is printed here they are the same.
    inner.write(result.dir .. "/13.tap", (result.out:gsub("^TAP version 14", "TAP version 13")))
    local text, code = shell(t, ([[perl -MTAP::Parser -e '
        my $p = TAP::Parser->new({tap => do { local $/; open my $f, "<", shift; <$f> }});
        while (my $r = $p->next) { print $r->type, " ", $r->is_test ? ($r->ok, " ", $r->description) : "", "\n" }
        print "plan ", $p->tests_planned, " failed ", scalar $p->failed, " errors ", join(",", $p->parse_errors), "\n"' %s]])
        :format(inner.quote(result.dir .. "/13.tap")))
    t:assert_eq(code, 0)
    t:assert_contains(text, "plan 5 failed 3 errors \n")
    t:assert_contains(text, "not ok - a.test.lua")
    t:assert_contains(result.out, "    ok 3 - later \\# not # SKIP no | time # today or so\n")
    t:assert_contains(result.err, "5 file(s)")
end)

test("KTAP nests and comments in front of what failed", function(t)
    local result = run(t, "--ktap")
    t:assert_contains(result.out, "KTAP version 1\n1..5\n  KTAP version 1\n  # Subtest: a.test.lua\n  1..4\n  ok 1 good\n" ..
        "  # a.test.lua:2: line one\n  # line two <script>alert(1)</script> 100%, a: b\n  not ok 2 bad & <b>ugly</b>\n")
    t:assert_contains(result.out, "  ok 3 later _ not # SKIP no | time # today or so\n")
    t:assert_contains(result.out, "\n# worker killed by SIGKILL\nnot ok 2 b.test.lua\n")
    t:assert_contains(result.out, "\nok 5 e.test.lua\n")
end)

-- Prints each test of a KTAP file as the kernel's parser (tools/testing/kunit, GPL, not kept here) understands it.
local KUNIT = [[
import contextlib, io, sys
sys.path.insert(0, sys.argv[1])
lines = open(sys.argv[2], encoding="utf-8").read().split("\n")
with contextlib.redirect_stdout(io.StringIO()):
    import kunit_parser, kunit_printer
    try: whole = kunit_parser.parse_run_tests(lines, kunit_printer.stdout)
    except TypeError: whole = kunit_parser.parse_run_tests(lines) # before Linux 6.12
def show(test, parent):
    for sub in test.subtests:
        print(parent + sub.name, sub.status.name)
        show(sub, parent + sub.name + ": ")
show(whole, "")
print("errors", whole.counts.errors)
]]

-- Where that parser is, or nil: unpacked from the newest source package of a kernel.
local function kunit_directory(t)
    local package = inner.output("ls /usr/src/linux-source-*.tar.* 2>/dev/null | sort -V | tail -n 1"):match("[^\n]+")
    if not package then return end
    local dir, top = inner.directory(t), package:match("([^/]*)%.tar%.")
    os.execute(("tar -C %s -xf %s --occurrence=1 %s/tools/testing/kunit/kunit_parser.py %s/tools/testing/kunit/kunit_printer.py"):format(
        inner.quote(dir), inner.quote(package), top, top))
    return ("%s/%s/tools/testing/kunit"):format(dir, top)
end

test("KTAP is read by the kernel's own parser", {timeout = "3m"}, function(t)
    need(t, "python3")
    local kunit = kunit_directory(t) or t:skip("linux-source is not installed")
    local result = run(t, "--ktap")
    inner.write(result.dir .. "/out.ktap", result.out)
    inner.write(result.dir .. "/show.py", KUNIT)
    local text = shell(t, ("cd %s && PYTHONIOENCODING=utf-8 python3 show.py %s out.ktap"):format(inner.quote(result.dir), inner.quote(kunit)))
    t:assert_contains(text, "a.test.lua FAILURE\na.test.lua: good SUCCESS\na.test.lua: bad & <b>ugly</b> FAILURE\n" ..
        "a.test.lua: later _ not SKIPPED\na.test.lua: bytes ")
    t:assert_contains(text, "b.test.lua FAILURE\nb.test.lua: dies FAILURE\nb.test.lua: after FAILURE\n" ..
        "c.test.lua FAILURE\nd.test.lua SUCCESS\nd.test.lua: flaky SUCCESS\ne.test.lua SUCCESS\nerrors 0\n")
end)

test("GitHub gets annotations and a summary", function(t)
    local result = run(t, "--github", {env = "GITHUB_STEP_SUMMARY=sum.md"})
    t:assert_contains(result.out, "::error file=b.test.lua,title=crashed::worker killed by SIGKILL\n")
    t:assert_contains(result.out,
        "::error file=a.test.lua,line=2,title=bad & <b>ugly</b>::a.test.lua:2: line one%0Aline two " ..
        "<script>alert(1)</script> 100%25, a: b\n")
    t:assert_contains(result.out, "::warning file=d.test.lua,line=1,title=flaky::")
    local summary = slurp(result.dir .. "/sum.md")
    t:assert_contains(summary, "| b.test.lua | crashed | 0 | 2 | 0 |")
    t:assert_contains(summary, "&lt;script&gt;")
    t:assert(not summary:find("<script>", 1, true), "nothing is markup that should be text")
end)

test("GitHub's limits are kept", function(t)
    local lines = {}
    for i = 1, 200 do
        lines[i] = ('test("t%d", function(t) t:fail(("x"):rep(9000)) end)'):format(i)
    end
    local result = inner.run(t, {["x.test.lua"] = table.concat(lines, "\n")}, "--github x.test.lua",
        {env = "GITHUB_STEP_SUMMARY=sum.md"})
    local _, errors = result.out:gsub("::error ", "")
    t:assert_eq(errors, 10)
    t:assert_contains(result.out, "::191 more; the step summary and the log have them all")
    local summary = slurp(result.dir .. "/sum.md")
    t:assert(#summary <= 1 << 20, "under 1 MiB")
    t:assert(summary:find("%d+ more entries did not fit"), "says what is left out")
end)

test("the page needs nothing from elsewhere and shows no markup of a test's", function(t)
    local result = run(t, "--html out.html")
    local page = slurp(result.dir .. "/out.html")
    t:assert(not page:find("https?://"), "no address")
    t:assert(not page:find("<script>alert", 1, true), "escaped")
    t:assert_contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;")
    local _, bars = page:gsub("<rect id=b%d+ ", "")
    t:assert_eq(bars, 5)
    local links = 0
    for id in page:gmatch('href="#(%w+)"') do
        links = links + 1
        t:assert(page:find((" id=%s[ >]"):format(id)), id)
    end
    t:assert(links >= 10, "from bars to files and back")
end)

test("a browser shows the page without a complaint", function(t)
    need(t, "chromium")
    local result = run(t, "--html out.html")
    local text = shell(t, ("timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir=%s --enable-logging=stderr " ..
        "--dump-dom 'file://%s/out.html#f0'"):format(inner.quote(result.dir .. "/profile"), result.dir))
    t:assert(not text:find("CONSOLE"), "no console message")
    t:assert_contains(text, 'id="none" hidden=""', "the script ran")
    t:assert_contains(text, "<svg id=\"timeline\"")
end)

test("JSON keeps big seeds and bad bytes", function(t)
    local result = inner.run(t, {["a\xff.test.lua"] = 'test("x", function() end)'}, "--json --seed 18446744073709551615 .")
    t:assert_eq(result.code, 0)
    t:assert_contains(result.out, '"path":"a\u{fffd}.test.lua"')
    t:assert_contains(result.out, '"seed":18446744073709551615')
    t:assert_eq(json.decode(result.out).tests[1].status, "passed")
end)

test("one format owns standard output", function(t)
    for _, pair in ipairs {"--json --tap", "--tap --ktap", "--ktap --events-stdout", "--events-stdout --json"} do
        local result = inner.run(t, suite, pair)
        t:assert_eq(result.code, 2)
        t:assert_contains(result.err, "contradict each other")
    end
end)

test("a report that cannot be written fails the run", function(t)
    local result = inner.run(t, {["x.test.lua"] = ""}, "--junit no/such/dir/out.xml x.test.lua")
    t:assert_eq(result.code, 2)
    t:assert_contains(result.err, "--junit: ")
    local _, _, code = os.execute(("cd %s && %s --tap x.test.lua >/dev/full 2>err"):format(
        inner.quote(result.dir), inner.quote(inner.binary())))
    t:assert_eq(code, 2)
end)

test("an interrupt leaves every report, also when the signal comes twice", function(t)
    local files = {
        ["a.test.lua"] = 'test("done", function() end)',
        ["b.test.lua"] = 'test("waits", function() print("waiting") os.execute("sleep 60") end) test("never", function() end)',
        ["c.test.lua"] = 'test("not begun", function() end)',
    }
    local dir = inner.directory(t)
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    local command = ("cd %s && setsid timeout -s TERM 2 %s -j1 --junit j.xml --html h.html --save-events ev . >out 2>err")
        :format(inner.quote(dir), inner.quote(inner.binary()))
    os.execute(command)
    local out = slurp(dir .. "/out")
    t:log(out .. slurp(dir .. "/err"))
    t:assert_contains(out, "2 file(s); 1 passed, 2 failed, 0 skipped, 1 file(s) not run; ")
    t:assert_contains(slurp(dir .. "/j.xml"), "interrupted")
    t:assert_contains(slurp(dir .. "/h.html"), "interrupted")
    local events = require("helpers.events").read(dir .. "/ev")
    local last = events[#events]
    t:assert_eq(last.kind, "run_completed")
    t:assert_eq(last.payload.interrupted, true)
    t:assert_eq(last.payload.exit_code, 143)
    t:assert_eq(last.payload.not_run, 1)
end)
