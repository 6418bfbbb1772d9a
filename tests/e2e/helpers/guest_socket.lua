-- Sockets in a guest, made of system calls (x86_64): for what the guest has no program for.
local guest_socket = {}
local SOCKET, SENDTO, RECVFROM, BIND, SETSOCKOPT, CLOSE = 41, 44, 45, 49, 54, 3
local AF_INET, AF_PACKET, SOCK_DGRAM, SOCK_RAW = 2, 17, 2, 3
local SOL_SOCKET, SO_RCVTIMEO = 1, 20
local ETH_P_ALL = 3

local Socket = {}
Socket.__index = Socket

local function call(vm, nr, args, bufs, ptrs)
    local r = vm:syscall(nr, {args = args, bufs = bufs or {}, ptrs = ptrs or {}})
    return r.ret, r.errno, r.out_bufs
end

local function open(vm, family, kind, protocol)
    local fd, errno = call(vm, SOCKET, {family, kind, protocol})
    assert(fd >= 0, ("socket: errno %d"):format(errno))
    local s = setmetatable({vm = vm, fd = fd}, Socket)
    s:timeout(10)
    return s
end

local function inet_address(address, port)
    local a, b, c, d = address:match("(%d+)%.(%d+)%.(%d+)%.(%d+)")
    return string.pack("<I2>I2BBBBI8", AF_INET, port, tonumber(a), tonumber(b), tonumber(c), tonumber(d), 0)
end

function guest_socket.udp(vm, port)
    local s = open(vm, AF_INET, SOCK_DGRAM, 0)
    if port then assert(s:bind(inet_address("0.0.0.0", port)) == 0, "bind") end
    return s
end

-- Whole frames of an interface.
function guest_socket.raw(vm, interface)
    local s = open(vm, AF_PACKET, SOCK_RAW, ETH_P_ALL << 8)
    local index = tonumber(vm:read_file("/sys/class/net/" .. interface .. "/ifindex"))
    assert(s:bind(string.pack("<I2>I2<i4I2BBI8", AF_PACKET, ETH_P_ALL, index, 0, 0, 0, 0)) == 0, "bind")
    return s
end

function Socket:bind(address) return (call(self.vm, BIND, {self.fd, 0, #address}, {address}, {1})) end

function Socket:timeout(seconds)
    call(self.vm, SETSOCKOPT, {self.fd, SOL_SOCKET, SO_RCVTIMEO, 0, 16}, {string.pack("<i8i8", seconds, 0)}, {3})
end

-- Returns the number of bytes taken, or -1 and the errno.
function Socket:send(bytes)
    local ret, errno = call(self.vm, SENDTO, {self.fd, 0, #bytes, 0, 0, 0}, {bytes}, {1})
    return ret, errno
end

function Socket:sendto(address, port, bytes)
    return (call(self.vm, SENDTO, {self.fd, 0, #bytes, 0, 0, 16}, {bytes, inet_address(address, port)}, {1, 4}))
end

-- A datagram and its sender (as it is in memory), or nil after the timeout.
function Socket:receive()
    local got, _, out = call(self.vm, RECVFROM, {self.fd, 0, 65536, 0, 0, 0},
        {("\0"):rep(65536), ("\0"):rep(32), string.pack("<I4", 32)}, {1, 4, 5})
    if got >= 0 then return out[1]:sub(1, got), out[2] end
end

-- Sends back to where a datagram came from.
function Socket:reply(sender, bytes)
    return (call(self.vm, SENDTO, {self.fd, 0, #bytes, 0, 0, 16}, {bytes, sender:sub(1, 16)}, {1, 4}))
end

function Socket:close() self.vm:syscall(CLOSE, self.fd) end

return guest_socket
