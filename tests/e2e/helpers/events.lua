-- Reads an event stream (docs/events.md): frames of MessagePack.
-- names: all keys of a map, those with nil too, sorted; frames: the bytes of an event
local events = {names = setmetatable({}, {__mode = "k"}), frames = setmetatable({}, {__mode = "k"})}

local decode

local function items(s, at, n)
    local out = {}
    for i = 1, n do out[i], at = decode(s, at) end
    return out, at
end

local function pairs_of(s, at, n)
    local out, names = {}, {}
    for i = 1, n do
        local key, value
        key, at = decode(s, at)
        value, at = decode(s, at)
        out[key], names[i] = value, tostring(key)
    end
    table.sort(names)
    events.names[out] = table.concat(names, " ")
    return out, at
end

local FIXED = {
    [0xca] = ">f", [0xcb] = ">d", [0xcc] = ">I1", [0xcd] = ">I2", [0xce] = ">I4", [0xcf] = ">i8",
    [0xd0] = ">i1", [0xd1] = ">i2", [0xd2] = ">i4", [0xd3] = ">i8",
    [0xd9] = ">s1", [0xda] = ">s2", [0xdb] = ">s4", [0xc4] = ">s1", [0xc5] = ">s2", [0xc6] = ">s4",
}

function decode(s, at)
    local c = s:byte(at)
    at = at + 1
    if c < 0x80 then return c, at end
    if c < 0x90 then return pairs_of(s, at, c & 15) end
    if c < 0xa0 then return items(s, at, c & 15) end
    if c < 0xc0 then return s:sub(at, at + (c & 31) - 1), at + (c & 31) end
    if c == 0xc0 then return nil, at end
    if c == 0xc2 or c == 0xc3 then return c == 0xc3, at end
    if c >= 0xe0 then return c - 256, at end
    if FIXED[c] then return string.unpack(FIXED[c], s, at) end
    local n, next_at = string.unpack((c == 0xdc or c == 0xde) and ">I2" or ">I4", s, at)
    return (c <= 0xdd and items or pairs_of)(s, next_at, n)
end

-- All whole frames of the bytes: {kind=, ts=, payload=}. Raises on anything that is no frame.
function events.decode(bytes)
    local out, at = {}, 1
    while at + 4 <= #bytes do
        local frame, next_at = string.unpack(">s4", bytes, at)
        local value, stop = decode(frame, 1)
        assert(stop == #frame + 1, "a frame holds exactly one value")
        events.frames[value] = frame
        out[#out + 1] = value
        at = next_at
    end
    assert(at == #bytes + 1, "the stream ends with a whole frame")
    return out
end

function events.read(path)
    local file = assert(io.open(path, "rb"))
    local bytes = file:read("a")
    file:close()
    return events.decode(bytes)
end

-- A frame as text, byte for byte, but for values that differ between runs: those of the keys in `varying` (a set) are
-- shown by their type. Printable ASCII stands for itself, everything else is \xx.
function events.show(frame, varying)
    local out = {}
    local function add(from, to)
        out[#out + 1] = frame:sub(from, to):gsub(".", function(c)
            return (c:find("[^ -~]") or c == "\\") and ("\\%02x"):format(c:byte()) or c
        end)
    end
    local function skip(at)
        local _, stop = decode(frame, at)
        return stop
    end
    local function walk(at, key)
        local c, stop = frame:byte(at), skip(at)
        local value = decode(frame, at)
        local map = c >= 0x80 and c < 0x90 or c == 0xde or c == 0xdf
        if varying[key] then
            out[#out + 1] = ("{%s}"):format(map and "map" or math.type(value) or type(value))
        elseif map then
            local wide = c == 0xde and 3 or c == 0xdf and 5 or 1
            add(at, at + wide - 1)
            at = at + wide
            while at < stop do
                local name = decode(frame, at)
                add(at, skip(at) - 1)
                at = walk(skip(at), name)
            end
        else
            add(at, stop - 1)
        end
        return stop
    end
    walk(1)
    return table.concat(out)
end

-- Those of one kind.
function events.of(list, kind)
    local out = {}
    for _, event in ipairs(list) do
        if event.kind == kind then out[#out + 1] = event.payload end
    end
    return out
end

return events
