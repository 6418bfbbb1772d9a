-- Runs another provium on files made for the occasion: how the runner's own verdicts are tested.
local inner = {}

local function shell_quote(s) return "'" .. s:gsub("'", "'\\''") .. "'" end
inner.quote = shell_quote

local function read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("a")
    file:close()
    return text
end
inner.read = read

-- Like read, and "" for a file that is not there (yet).
function inner.read_if_any(path)
    local ok, text = pcall(read, path)
    return ok and text or ""
end

-- What a shell command prints.
function inner.output(command)
    local pipe = io.popen(command)
    local text = pipe:read("a")
    pipe:close()
    return text
end

-- Runs a shell command; its output, which is logged, and its status.
function inner.shell(t, command)
    local pipe = io.popen(command .. " 2>&1; echo status $?")
    local text = pipe:read("a")
    pipe:close()
    t:log(text)
    return text, tonumber(text:match("status (%d+)\n$"))
end

function inner.need(t, program)
    if select(2, inner.shell(t, "command -v " .. program)) ~= 0 then t:skip(program .. " is not installed") end
end

-- A fresh directory that is removed at the end of the test.
function inner.directory(t)
    local pipe = io.popen("mktemp -d /tmp/provium-e2e-XXXXXX")
    local dir = pipe:read("l")
    pipe:close()
    t:defer(function() os.execute("rm -rf " .. shell_quote(dir)) end)
    return dir
end

function inner.write(path, text)
    os.execute("mkdir -p " .. shell_quote(path:match("^(.*)/")))
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
end

-- files: {name = text}; args: text for the shell; env: text in front of the command; input: a file.
-- Returns {code, out, err, dir}.
function inner.run(t, files, args, opts)
    opts = opts or {}
    local dir = opts.dir or inner.directory(t)
    for name, text in pairs(files) do inner.write(dir .. "/" .. name, text) end
    local command = ("cd %s && %s %s %s >%s/.out 2>%s/.err <%s"):format(
        shell_quote(dir), opts.env or "", shell_quote(inner.binary()), args or ".", shell_quote(dir), shell_quote(dir), opts.input or "/dev/null")
    local _, kind, code = os.execute(command)
    local result = {code = kind == "exit" and code or -code, out = read(dir .. "/.out"), err = read(dir .. "/.err"), dir = dir}
    t:log(("provium %s: exit %d\n%s%s"):format(args or ".", result.code, result.out, result.err))
    return result
end

-- One JSON object per file, by path.
function inner.json(result)
    local files = {}
    for line in result.out:gmatch("[^\n]+") do
        local file = json.decode(line)
        files[file.path] = file
    end
    return files
end

-- Processes that have `mark` in their environment.
function inner.survivors(mark)
    local pipe = io.popen(("grep -lsa %s /proc/[0-9]*/environ 2>/dev/null"):format(mark))
    local found = {}
    for path in pipe:lines() do
        local pid = path:match("%d+")
        local state = io.open("/proc/" .. pid .. "/stat")
        if state then
            if not state:read("a"):find("%) Z ") then found[#found + 1] = pid end
            state:close()
        end
    end
    pipe:close()
    return found
end

-- A command that runs `script` in `dir`, where `disk` is a file system of that size; its status is 77 when none can be mounted.
function inner.small_disk(dir, size, script)
    inner.write(dir .. "/.disk.sh", ("mkdir -p disk && mount -t tmpfs -o size=%s none disk || exit 77\n%s\n"):format(size, script))
    return ("(cd %s && if unshare -rm true; then PROVIUM=%s unshare -rm sh .disk.sh; else exit 77; fi)"):format(
        shell_quote(dir), shell_quote(inner.binary()))
end

-- Runs x.test.lua; its tests by name, the file's result, and that of the run.
function inner.outcomes(t, source, args)
    local result = inner.run(t, {["x.test.lua"] = source}, "--json " .. (args or "") .. " x.test.lua")
    local file = inner.json(result)["x.test.lua"]
    local by_name = {}
    for _, test in ipairs(file and file.tests or {}) do by_name[test.name] = test end
    return by_name, file, result
end

function inner.binary()
    local path = os.getenv("PROVIUM")
    if not path then
        local link = io.popen("readlink /proc/$PPID/exe")
        path = link:read("l")
        link:close()
    end
    return path
end

return inner
