
---@class provium.process_status
---@field running boolean
---@field status "running"|"exited"|"signalled"|"timed_out"
---@field exit_code? integer
---@field signal? integer

---@class provium.process
local process = {}

---Past the timeout the process group is killed; the result is then `timed_out`.
---@param timeout? provium.duration
---@return provium.RunResult
function process:wait(timeout) end

---@return provium.process_status
function process:status() end

---@param sig? string|integer default SIGTERM
---@return boolean delivered
function process:kill(sig) end

---@param sig string|integer
---@return boolean delivered
function process:signal(sig) end

---@return integer
function process:pid() end

---@return integer
function process:handle() end

---@param data string
---@return integer
function process:stdin_write(data) end

function process:close_stdin() end

---@param opts? provium.window_options
---@return provium.stream
function process:stdout_stream(opts) end

---@param opts? provium.window_options
---@return provium.stream
function process:stderr_stream(opts) end

---SIGTERM to the group, 2 s, SIGKILL.
function process:close() end

---@class provium.joined
---@field handle integer
---@field pid integer
---@field status "exited"|"signalled"|"timed_out"
---@field exit_code integer
---@field signal? integer

---A guest process with credentials, descriptors and namespaces of its own.
---@class provium.worker
local worker = {}

---@param cmd string|string[]
---@param opts? provium.run_options|string[]
---@return provium.RunResult
function worker:run(cmd, opts) end

---@param cmd string|string[]
---@param opts? provium.run_async_options|string[]
---@return provium.process
function worker:run_async(cmd, opts) end

---@param path string
---@param mode provium.open_mode
---@return provium.file
function worker:open_file(path, mode) end

---@param nr integer
---@param ... integer|provium.syscall_options
---@return provium.syscall_result
function worker:syscall(nr, ...) end

---@param nr integer
---@param ... integer|provium.syscall_async_options
---@return provium.syscall
function worker:syscall_async(nr, ...) end

---@param fd integer
---@param cmd integer
---@param data? string|integer
---@param opts? provium.ioctl_options
---@return provium.ioctl_result
function worker:ioctl(fd, cmd, data, opts) end

---@param addr integer
---@param len integer
---@return string? bytes
---@return integer? errno
function worker:read_mem(addr, len) end

---Signals the live processes that it started.
---@param sig? string|integer default SIGTERM
---@return integer count
function worker:kill(sig) end

---Waits for the processes that it started.
---@param timeout? provium.duration
---@return provium.joined[]
function worker:join(timeout) end

---@return integer
function worker:handle() end

---@return integer
function worker:pid() end

function worker:close() end

---A system call in progress.
---@class provium.syscall
local syscall = {}

---@param timeout? provium.duration
---@return provium.syscall_result
function syscall:await(timeout) end

---@class provium.file
local file = {}

---One read: up to n bytes, "" at the end of the file.
---@param n integer
---@return string
function file:read(n) end

---@return string
function file:read_all() end

---@param data string
---@return integer
function file:write(data) end

---@param offset integer
---@param whence? "set"|"cur"|"end" default "set"
---@return integer
function file:seek(offset, whence) end

---@return integer
function file:tell() end

---@return integer
function file:fd() end

---@param opts? provium.window_options
---@return provium.stream
function file:tail_stream(opts) end

function file:close() end

---@class provium.site
---@field file string
---@field line integer

---@class provium.stream
local stream = {}

---@param timeout? provium.duration default 10 s
---@return string?
function stream:next(timeout) end

---@param pattern string plain bytes
---@param timeout? provium.duration default 10 s
---@return string
function stream:read_until(pattern, timeout) end

---@param pattern string plain bytes
---@param timeout? provium.duration default 10 s
function stream:expect(pattern, timeout) end

---@param timeout? provium.duration default 0.5 s
---@return string[]
function stream:drain(timeout) end

---@return boolean
function stream:eof() end

---Bytes (packets of a capture) dropped so far.
---@return integer
function stream:lost() end

---@return provium.site?
function stream:creation_site() end

---Of a capture.
---@return {packets: integer, bytes: integer, dropped: integer}
function stream:stats() end

function stream:close() end

---One file.
---@class provium.snapshot
local snapshot = {}

---@return string absolute
function snapshot:path() end

---@return integer bytes, 0 when it is gone
function snapshot:size() end

function snapshot:delete() end

---One directory.
---@class provium.lab_snapshot
local lab_snapshot = {}

---@return string absolute
function lab_snapshot:path() end

---@return integer bytes, 0 when it is gone
function lab_snapshot:size() end

function lab_snapshot:delete() end

---@class provium.console_read_options
---@field from? "start"|"unread"|"end" default "unread"

---@class provium.console_write_options
---@field timeout? provium.duration default 10 s, 0: no limit

---@class provium.console
local console = {}

---@param opts? provium.console_read_options
---@return provium.stream
function console:read(opts) end

---@return string
function console:read_log() end

---@param pattern string plain bytes
---@param timeout? provium.duration default 30 s
---@return string
function console:expect(pattern, timeout) end

---@param data string
---@param opts? provium.console_write_options
function console:write(data, opts) end

function console:close() end

---The guest's CLOCK_REALTIME.
---@class provium.clock
local clock = {}

---@return number
function clock:get() end

---@return integer
function clock:get_ns() end

---@param seconds number
function clock:set(seconds) end

---@param ns integer
function clock:set_ns(ns) end

---@param duration provium.duration may be negative
function clock:advance(duration) end

---@param duration provium.duration of guest monotonic time
function clock:sleep(duration) end
