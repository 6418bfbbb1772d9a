---@meta
-- Types of provium's test files, for the Lua language server. Written by `provium lsp-setup`; do not edit.

---A number of seconds, or text such as "500ms", "2s", "1m", "1h".
---@alias provium.duration number|string
---A number of bytes, or text such as "64K", "512M", "2G".
---@alias provium.size integer|string

---@class provium.meta
---@field slow? boolean|integer skipped without --include-slow
---@field skip? boolean|integer|string skipped; text is the reason
---@field tags? string|string[] for --tag and --no-tag
---@field timeout? provium.duration deadline of the test; 0: none
---@field spec? string|string[] what the test shows; buckets of coverage
---@field touches? string|string[] what the test exercises, for --tag-meta
---@field [string] any

---The lab of the current scope.
---@type provium.lab
provium = nil

---Registers a test; names are unique in the file.
---@param name string
---@param meta provium.meta
---@param body fun(t: provium.t)
---@overload fun(name: string, body: fun(t: provium.t))
function test(name, meta, body) end

---Skips every test of the file.
---@param reason? string default "todo"
function todo(reason) end

---@class provium.wait_options
---@field timeout? provium.duration default 10
---@field interval? provium.duration default 0.1
---@field desc? string what is waited for, in the message

---Calls the predicate until it returns a true value, and returns that.
---@generic T
---@param predicate fun(): T
---@param opts? provium.wait_options
---@return T
function wait_until(predicate, opts) end

---The standard coroutine library.
co = coroutine

---@class provium.json
json = {}

---@param value any
---@return string
function json.encode(value) end

---@param text string
---@return any
function json.decode(text) end

---Marks a (new) table as an array, so that an empty one encodes as [].
---@param t? table
---@return table
function json.array(t) end

---@class provium.t
---@field name string
---@field meta provium.meta
---@field _failed boolean
local t = {}

---@param cond any
---@param msg? any
function t:assert(cond, msg) end

---@param a any
---@param b any
---@param msg? any
function t:assert_eq(a, b, msg) end

---@param a any
---@param b any
---@param msg? any
function t:assert_neq(a, b, msg) end

---@param hay string
---@param needle string
---@param msg? any
function t:assert_contains(hay, needle, msg) end

---Returns what the function raised.
---@param fn fun()
---@param msg? any
---@return any
function t:assert_raises(fn, msg) end

---@param msg? any
function t:fail(msg) end

---@param reason? any
function t:skip(reason) end

---Adds to the log shown with a failure.
---@param value any
function t:log(value) end

---Registers a hook that runs when the body ends in any way, last first.
---@param fn fun(t: provium.t)
function t:defer(fn) end
