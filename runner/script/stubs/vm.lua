
---@class provium.boot_file
---@field path string absolute
---@field content string
---@field mode? integer default 0644 octal

---@class provium.boot_options
---@field memory? provium.size default 512 MiB
---@field cpus? integer default 1
---@field kernel_cmdline? string replaces the profile's
---@field kernel_cmdline_append? string
---@field agent_timeout? provium.duration
---@field rng_seed? integer the guest's random numbers depend on it alone
---@field initial_time? number seconds since the epoch
---@field files? provium.boot_file[] in place before init runs

---@class provium.vm_options: provium.boot_options
---@field from_snapshot? provium.snapshot|string the first boot goes on from there

---@class provium.barrier_options
---@field name string
---@field count integer
---@field timeout? provium.duration default 60

---@class provium.process_options
---@field args? (string|number)[] direct execution with these arguments
---@field env? table<string, string|number|false> added to the agent's; false removes
---@field env_clear? boolean only `env`
---@field cwd? string
---@field stdin? string
---@field user? string|integer
---@field group? string|integer
---@field groups? (string|integer)[]
---@field umask? integer default 022 octal
---@field max_output? provium.size per stream, default 64 MiB

---@class provium.run_options: provium.process_options
---@field timeout? provium.duration
---@field timeout_ms? integer

---@class provium.run_async_options: provium.process_options
---@field barrier? provium.barrier_options starts together with the other arrivals

---@class provium.RunResult
---@field status "exited"|"signalled"|"timed_out"
---@field exit_code integer -1 signalled, -2 timed out
---@field signal? integer
---@field timed_out boolean
---@field stdout string
---@field stderr string
---@field truncated boolean
local RunResult = {}

---@return boolean
function RunResult:ok() end

---Returns the result, or raises with both outputs.
---@return provium.RunResult
function RunResult:assert_ok() end

---@alias provium.entry_type "file"|"directory"|"symlink"|"fifo"|"socket"|"block_device"|"char_device"|"other"

---@class provium.stat
---@field size integer
---@field mtime number
---@field mtime_ns integer
---@field perm integer
---@field entry_type provium.entry_type
---@field uid integer
---@field gid integer
---@field nlink integer
---@field ino integer
---@field dev integer
---@field rdev integer

---@class provium.entry
---@field name string
---@field entry_type provium.entry_type

---@class provium.stat_options
---@field follow? boolean default true

---@class provium.mkdir_options
---@field perm? integer default 0755 octal
---@field parents? boolean

---@class provium.push_options
---@field auto_dep? boolean default true: fixtures depend on the host file
---@field mode? integer

---@class provium.open_mode
---@field read? boolean
---@field write? boolean
---@field append? boolean
---@field create? boolean
---@field truncate? boolean
---@field exclusive? boolean
---@field perm? integer default 0644 octal

---@class provium.window_options
---@field window? provium.size 64K to 64M, default 1M

---@class provium.tail_options: provium.window_options
---@field start? "end"|"beginning"|"start"|number default "end"

---@class provium.nested_pointer
---@field parent integer buffer that gets the address, from 1
---@field child integer buffer whose address it is, from 1
---@field offset integer byte in the parent, from 0
---@field child_offset? integer default 0

---@class provium.syscall_options
---@field args? integer[]
---@field bufs? string[]
---@field ptrs? integer[] slots, from 0, of the addresses of bufs
---@field nested? provium.nested_pointer[]

---@class provium.syscall_async_options: provium.syscall_options
---@field barrier? provium.barrier_options

---@class provium.syscall_result
---@field ret integer
---@field result integer
---@field errno integer
---@field out_bufs string[]

---@class provium.ioctl_options
---@field bufs? string[]
---@field ptr_offsets? integer[]

---@class provium.ioctl_result: provium.syscall_result
---@field out_data? string

---@class provium.worker_options
---@field thread? boolean only false: workers are processes

---@class provium.batch_entry
---@field ok? any
---@field err? string
---@field errno? integer

---Records operations; they return nothing.
---@class provium.batch
local batch = {}
---@param cmd string|string[]
---@param opts? provium.run_options|string[]
function batch:run(cmd, opts) end
---@param path string
function batch:read_file(path) end
---@param path string
---@param data string
function batch:write_file(path, data) end
---@param path string
---@param opts? provium.stat_options
function batch:stat(path, opts) end
---@param path string
function batch:listdir(path) end
---@param path string
---@param opts? provium.mkdir_options
function batch:mkdir(path, opts) end
---@param path string
function batch:unlink(path) end
---@param from string
---@param to string
function batch:rename(from, to) end
---@param nr integer
---@param ... integer
function batch:syscall(nr, ...) end

---@class provium.vm
local vm = {}

---@param opts? provium.boot_options
---@return provium.vm
function vm:boot(opts) end

---@return provium.vm
function vm:pause() end

---@return provium.vm
function vm:resume() end

---Ends the guest at once.
function vm:shutdown() end

function vm:close() end

---Warm reboot; returns when the agent answers again.
---@return provium.vm
function vm:reset() end

---@return provium.vm
function vm:power_button() end

---Wakes a guest that suspended itself to RAM.
---@return provium.vm
function vm:wakeup() end

---Memory, devices and disks; at `path`, or in a temporary file.
---@param path? string
---@return provium.snapshot
function vm:snapshot(path) end

---@param snapshot provium.snapshot|string
---@return provium.vm
function vm:restore(snapshot) end

---@return "created"|"booted"|"paused"|"shutdown"|"dead"
function vm:state() end

---@return string
function vm:name() end

---@return string
function vm:profile() end

---@return integer?
function vm:cid() end

---No call in flight, no file and no stream open.
---@return boolean
function vm:is_quiescent() end

---@return integer
function vm:open_file_count() end

---@return integer
function vm:open_stream_count() end

---@param cmd string|string[] text goes to /bin/sh -c, a table is executed directly
---@param opts? provium.run_options|string[]
---@return provium.RunResult
function vm:run(cmd, opts) end

---@param cmd string|string[]
---@param opts? provium.run_async_options|string[]
---@return provium.process
function vm:run_async(cmd, opts) end

---@param path string
---@return string
function vm:read_file(path) end

---@param path string
---@param data string
function vm:write_file(path, data) end

---@param host string
---@param guest string
---@param opts? provium.push_options
function vm:push_file(host, guest, opts) end

---@param guest string
---@param host string
---@return integer bytes
function vm:pull_file(guest, host) end

---@param path string
---@param opts? provium.stat_options
---@return provium.stat
function vm:stat(path, opts) end

---@param path string
---@return provium.entry[]
function vm:listdir(path) end

---@param path string
---@param opts? provium.mkdir_options
function vm:mkdir(path, opts) end

---@param path string
function vm:unlink(path) end

---@param from string
---@param to string
function vm:rename(from, to) end

---@param path string
---@param mode provium.open_mode
---@return provium.file
function vm:open_file(path, mode) end

---@param path string
---@param opts? provium.tail_options
---@return provium.stream
function vm:tail_file(path, opts) end

---@param file provium.file|integer
---@param opts? provium.window_options
---@return provium.stream
function vm:fd_stream(file, opts) end

---@param nr integer
---@param ... integer|provium.syscall_options
---@return provium.syscall_result
function vm:syscall(nr, ...) end

---@param nr integer
---@param ... integer|provium.syscall_async_options
---@return provium.syscall
function vm:syscall_async(nr, ...) end

---@param fd integer
---@param cmd integer
---@param data? string|integer
---@param opts? provium.ioctl_options
---@return provium.ioctl_result
function vm:ioctl(fd, cmd, data, opts) end

---@param addr integer
---@param len integer
---@return string? bytes
---@return integer? errno
function vm:read_mem(addr, len) end

---@param fn fun(b: provium.batch)
---@return provium.batch_entry[]
function vm:batch(fn) end

---@param opts? provium.worker_options
---@return provium.worker
function vm:spawn_worker(opts) end

---@return provium.console
function vm:console() end

---@return provium.clock
function vm:clock() end

---@param name string a bridge's name, or eth0, enp0s0, ens0 and so on
---@return provium.nic
function vm:nic(name) end

---@param bridge? string|provium.bridge default: the first
---@param family? 4|6 default 4
---@return string?
function vm:ip(bridge, family) end
