-- Reads an event stream (docs/events.md): frames of MessagePack.
local events = {names = setmetatable({}, {__mode = "k"})} -- names: all keys of a map, those with nil too, sorted

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

-- Those of one kind.
function events.of(list, kind)
    local out = {}
    for _, event in ipairs(list) do
        if event.kind == kind then out[#out + 1] = event.payload end
    end
    return out
end

return events
