-- Live progress: on a terminal only, and never in the way of other output. No machine is booted.
local inner = require("helpers.inner")

local files = {
    ["a.test.lua"] = [[
        test("one", function() os.execute("sleep 0.5") print("printed by a test") os.execute("sleep 0.5") end)]],
    ["b.test.lua"] = 'test("two", function(t) os.execute("sleep 0.3") t:fail("no") end)',
}

-- What a terminal of 60 columns, or as many as are given, is sent.
local function on_terminal(t, args, env, columns, more)
    local dir = inner.directory(t)
    for name, text in pairs(more or {}) do inner.write(dir .. "/" .. name, text) end
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    local command = ("stty cols %d rows 20; %s -j2 %s ."):format(columns or 60, inner.quote(inner.binary()), args)
    local pipe = io.popen(("cd %s && env -u CI TERM=xterm XDG_CACHE_HOME=cache %s script -qec %s /dev/null </dev/null"):format(
        inner.quote(dir), env or "", inner.quote(command)))
    local text = pipe:read("a")
    pipe:close()
    t:log((text:gsub("\27", "ESC")))
    return text
end

-- The lines that stay on the screen, by a terminal that knows what the block uses.
local function screen(text)
    local lines, row = {""}, 1
    text = text:gsub("\27%[[%d;]*m", "")
    while text ~= "" do
        local up, rest = text:match("^\27%[(%d+)A(.*)")
        if up then
            row, text = row - up, rest
        elseif text:find("^\27%[J") then
            for i = row + 1, #lines do lines[i] = nil end
            lines[row], text = "", text:sub(4)
        elseif text:sub(1, 1) == "\n" then
            row, text = row + 1, text:sub(2)
            lines[row] = lines[row] or ""
        elseif text:sub(1, 1) == "\r" then
            text = text:sub(2)
        else
            local plain = text:match("^[^\r\n\27]+") or text:sub(1, 1)
            lines[row], text = lines[row] .. plain, text:sub(#plain + 1)
        end
    end
    return table.concat(lines, "\n")
end

test("the block shows what runs and leaves no trace", function(t)
    local text = on_terminal(t, "")
    t:assert_contains(text, "[0/2] 2 running, 0 VMs")
    t:assert_contains(text, "[1/2] 1 failed, 1 running")
    t:assert(text:find("  0:00 a.test.lua"), "a running file")
    local left = screen(text)
    t:log(left)
    t:assert(not left:find("%[%d/2%]"), "erased")
    for _, line in ipairs {"FAIL b.test.lua (0 passed, 1 failed, 0 skipped)", "printed by a test",
                           "PASS a.test.lua (1 passed, 0 failed, 0 skipped)"} do
        t:assert_contains("\n" .. left .. "\n", "\n" .. line .. "\n")
    end
end)

test("recorded durations tell how long it will take, the pool what is in use", function(t)
    local text = on_terminal(t, "--mem 1G --cpus 3 --psi-threshold 0 .", nil, 120, {
        ["provium-durations.json"] = '{"a.test.lua": 200, "b.test.lua": 100, "c.test.lua": 50}',
        ["c.test.lua"] = 'provium:claim{memory = "462M", cpus = 1} test("long", function() os.execute("sleep 3") end)'})
    -- Two of three run at once: 350 s in two places.
    t:assert(text:find(", about 2:5%d left"), "an estimate")
    t:assert(text:find(", 0%.%d of 1%.0 GiB, 1 of 3 vCPUs"), "memory and vCPUs")
end)

test("it is left out where nobody looks or wants it", function(t)
    for _, case in ipairs {{"--no-progress"}, {"-q"}, {"", "CI=1"}, {"", "TERM=dumb"}} do
        local text = on_terminal(t, case[1], case[2])
        t:assert(not text:find("%[%d/2%]") and not text:find("\27[J", 1, true), case[1] .. (case[2] or ""))
    end
    local result = inner.run(t, files, ".")
    t:assert(not (result.out .. result.err):find("\27", 1, true), "no terminal")
end)
