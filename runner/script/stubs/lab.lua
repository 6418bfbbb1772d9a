
---@class provium.lab_member
---@field kind "vm"|"bridge"|"sub_lab"
---@field name string

---@class provium.claim_options
---@field memory? provium.size
---@field cpus? integer

---@class provium.fixture_options
---@field name? string default: that in the fixture, with _2, _3, … when it is taken
---@field scope? "file"|"test" how long it lives; default "file"

---@class provium.lab
---@field timeout? provium.duration deadline of the tests that follow (file root)
---@field reset_between_tests? boolean restore the file's machines before each test (file root)
---@field [string] provium.vm|provium.bridge|provium.lab|nil
local lab = {}

---An existing VM, or with a profile (or from_snapshot) a new one.
---@param name string
---@param profile? string
---@param opts? provium.vm_options
---@return provium.vm
function lab:vm(name, profile, opts) end

---An existing bridge, or a new one.
---@param name string
---@param opts? provium.bridge_options
---@return provium.bridge
function lab:bridge(name, opts) end

---A new sub-lab.
---@param name? string default __lab_0, __lab_1, …
---@return provium.lab
function lab:lab(name) end

---@param what provium.vm|provium.bridge|provium.lab|(provium.vm|provium.bridge|provium.lab)[]
function lab:include(what) end

---@param what string|provium.vm|provium.bridge|provium.lab
function lab:remove(what) end

---@return provium.lab_member[]
function lab:members() end

---@return string[]
function lab:vm_names() end

---@return string[]
function lab:bridge_names() end

---@return string[]
function lab:sub_lab_names() end

---@return string
function lab:name() end

---A new VM, booted, restored from the fixture `<path>.fixture.lua` below a test root; the fixture is built when it is not cached.
---@param path string
---@param opts? provium.fixture_options
---@return provium.vm
function lab:vm_fixture(path, opts) end

---A new sub-lab with the members of the fixture.
---@param path string
---@param opts? provium.fixture_options
---@return provium.lab
function lab:lab_fixture(path, opts) end

---Names a host file, so that a change of it makes the fixture stale. Does nothing else.
---@param path string
function lab:depends_on_file(path) end

---Boots every VM that is a direct member, in parallel.
---@return provium.lab
function lab:boot() end

function lab:shutdown() end

function lab:pause() end

function lab:resume() end

---All its VMs and those of its sub-labs at one moment. With a directory, returns its path.
---@param directory? string
---@return provium.lab_snapshot|string
function lab:snapshot(directory) end

---@param snapshot provium.lab_snapshot|string
---@return provium.lab
function lab:restore(snapshot) end

---Reserves memory and CPUs for the whole file, once.
---@param amount provium.claim_options
function lab:claim(amount) end

---Returns once `count` callers have arrived; each caller is a coroutine or the test's body.
---@param name string
---@param count integer
---@param timeout? provium.duration default 60
function lab:barrier(name, count, timeout) end

---string.pack
---@param fmt string
---@param ... any
---@return string
function lab:pack(fmt, ...) end

---string.unpack
---@param fmt string
---@param s string
---@param pos? integer
---@return any ...
function lab:unpack(fmt, s, pos) end
