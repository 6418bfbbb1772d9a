-- Changes the file of a snapshot (docs/snapshots.md) as another provium, QEMU or host would have written it: every hash is
-- right again.
local inner = require("helpers.inner")

local snapshot_file = {}
local TRAILER = 256

local function sha256(bytes)
    local path = os.tmpname()
    inner.write(path, bytes)
    local hex = inner.output("sha256sum " .. path):match("^%x+")
    os.remove(path)
    return (hex:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function read_at(file, offset, n)
    file:seek("set", offset)
    return file:read(n)
end

local function replace(bytes, offset, by) return bytes:sub(1, offset) .. by .. bytes:sub(offset + #by + 1) end

-- change.manifest(object) changes the manifest in place; change.format is another format.
function snapshot_file.forge(path, change)
    local file = assert(io.open(path, "r+b"))
    local size = file:seek("end")
    local trailer = read_at(file, size - TRAILER, TRAILER)
    local memory, state, manifest_size = string.unpack("<I8I8I8", trailer, 25)
    local manifest = read_at(file, memory + state, manifest_size)
    local sums = read_at(file, memory + state + manifest_size, size - TRAILER - memory - state - manifest_size)
    if change.manifest then
        local object = json.decode(manifest)
        change.manifest(object)
        manifest = json.encode(object)
    end
    trailer = replace(trailer, 40, string.pack("<I8", #manifest))
    trailer = replace(trailer, 104, sha256(manifest))
    if change.format then trailer = replace(trailer, 16, string.pack("<I4", change.format)) end
    trailer = replace(trailer, 224, sha256(trailer:sub(1, 224)))
    file:seek("set", memory + state)
    file:write(manifest, sums, trailer)
    file:close()
    assert(os.execute(("truncate -s %d %s"):format(memory + state + #manifest + #sums + TRAILER, inner.quote(path))))
end

-- Changes one bit.
function snapshot_file.flip(path, offset)
    local file = assert(io.open(path, "r+b"))
    local byte = read_at(file, offset, 1):byte()
    file:seek("set", offset)
    file:write(string.char(byte ~ 16))
    file:close()
end

return snapshot_file
