
---@alias provium.member provium.vm|string

---@class provium.subnets
---@field v4? string
---@field v6? string

---@class provium.bridge_options
---@field subnet? string|provium.subnets
---@field mtu? integer
---@field configure? boolean
---@field dhcp? boolean
---@field dns? boolean|"force"

---@class provium.detach_options
---@field unplug? boolean

---@class provium.direction
---@field from provium.member
---@field to provium.member

---@class provium.subnet
---@field v4? string
---@field v6? string
---@field gateway? string
---@field gateway6? string
---@field mtu integer

---@class provium.impairment
---@field from? provium.member
---@field to? provium.member
---@field latency? provium.duration|false
---@field jitter? provium.duration|false
---@field loss? number|false percent
---@field duplicate? number|false percent
---@field reorder? number|false percent
---@field corrupt? number|false percent
---@field rate? number|string|false bits per second, or "10M"

---@class provium.latency_options
---@field from? provium.member
---@field to? provium.member
---@field ms number|string
---@field jitter_ms? number|string

---@class provium.drop_options
---@field from? provium.member
---@field to? provium.member
---@field p number percent

---@class provium.bandwidth_options
---@field from? provium.member
---@field to? provium.member
---@field bps number|string

---@class provium.nic_capture_options
---@field filter? string as of tcpdump
---@field precision? "us"|"ns" default "us"
---@field file? string write there; nothing is to be read

---@class provium.capture_options: provium.nic_capture_options
---@field point? "sent"|"delivered" default "sent"

---@class provium.forward
---@field host integer 0: a free port
---@field guest integer
---@field vm provium.member
---@field proto? "tcp"|"udp" default "tcp"
---@field bind? string default "127.0.0.1"

---@class provium.uplink_options
---@field host_loopback? boolean the gateway's address is the host's 127.0.0.1
---@field forward? provium.forward[]

---@class provium.uplink
---@field icmp boolean
---@field ipv6 boolean
---@field host_loopback? boolean
---@field dns string[]
---@field forwards provium.forward[]
---@field failed? boolean its helper process has died

---@class provium.bridge
local bridge = {}

---@param what provium.member|provium.member[]
---@return provium.bridge
function bridge:attach(what) end

---@param who provium.member
---@param opts? provium.detach_options
---@return provium.bridge
function bridge:detach(who, opts) end

---@return string[]
function bridge:members() end

---@return string
function bridge:name() end

---@return provium.subnet
function bridge:subnet() end

---@return table<string, integer>
function bridge:stats() end

function bridge:close() end

---Both ways; with a table one way.
---@param a provium.member|provium.direction
---@param b? provium.member
---@return provium.bridge
function bridge:partition(a, b) end

---@param a provium.member|provium.direction
---@param b? provium.member
---@return provium.bridge
function bridge:unpartition(a, b) end

---@return provium.bridge
function bridge:partition_all() end

---@return provium.bridge
function bridge:restore_all() end

---@return provium.bridge
function bridge:reset() end

---@param a provium.member
---@param b provium.member
---@return boolean
function bridge:is_partitioned(a, b) end

---@param vm provium.member
---@return provium.bridge
function bridge:isolate(vm) end

---@param vm provium.member
---@return provium.bridge
function bridge:unisolate(vm) end

---@param vm provium.member
---@return boolean
function bridge:is_isolated(vm) end

---@param rule provium.impairment
---@return provium.bridge
function bridge:impair(rule) end

---@param what number|string|provium.latency_options milliseconds
---@return provium.bridge
function bridge:add_latency(what) end

---@param what number|string|provium.latency_options milliseconds
---@return provium.bridge
function bridge:add_directional_latency(what) end

---@param what number|provium.drop_options percent
---@return provium.bridge
function bridge:drop_rate(what) end

---@param what number|provium.drop_options percent
---@return provium.bridge
function bridge:directional_drop_rate(what) end

---@param what number|string|provium.bandwidth_options bits per second
---@return provium.bridge
function bridge:bandwidth_limit(what) end

---@return provium.impairment[]
function bridge:impairments() end

---@return number
function bridge:latency_ms() end

---@return number
function bridge:drop_rate_pct() end

---@return integer?
function bridge:bandwidth_bps() end

---The same seed gives the same fate to the n-th frame of a pair.
---@param n integer
---@return provium.bridge
function bridge:seed(n) end

---Routes between the subnets.
---@param other provium.bridge|provium.bridge[]
---@return provium.bridge
function bridge:route(other) end

---@param other provium.bridge
---@return provium.bridge
function bridge:unroute(other) end

---@return string[]
function bridge:routes() end

---NAT to the outside.
---@param opts? provium.uplink_options
---@return provium.bridge
function bridge:enable_uplink(opts) end

---@return provium.bridge
function bridge:disable_uplink() end

---@return provium.uplink?
function bridge:uplink() end

---@param opts? provium.capture_options
---@return provium.stream
function bridge:capture(opts) end

---@param who provium.member
---@return provium.nic
function bridge:nic(who) end

---@class provium.counters
---@field rx_bytes integer
---@field tx_bytes integer
---@field rx_packets integer
---@field tx_packets integer
---@field errors integer
---@field dropped integer

---@class provium.nic
local nic = {}

---@return provium.counters
function nic:counters() end

---@return string
function nic:vm_name() end

---@return string
function nic:bridge() end

---@return string
function nic:mac() end

---@param family? 4|6 default 4
---@return string?
function nic:ip(family) end

---The interface in the guest.
---@return string?
function nic:guest_name() end

---@class provium.nic_status
---@field link boolean
---@field configured boolean
---@field reason? string

---@return provium.nic_status
function nic:status() end

---@return provium.nic
function nic:disconnect() end

---@return provium.nic
function nic:reconnect() end

---@param opts? provium.nic_capture_options
---@return provium.stream
function nic:capture(opts) end
