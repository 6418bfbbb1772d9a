-- A cluster of three that elects a leader and keeps a list of values, after the fashion of Raft, written in shell. The test
-- cuts the leader off: for a while two nodes think that they lead, but only the one with a majority gets anything done.
-- When the wire heals, everybody has the same leader and the same values.

-- What every script begins with. The lock makes all that belongs together change together.
local COMMON = [[me=%s peers='%s' patience=%d
cd /run/node
lock() { until mkdir lock 2>/dev/null; do usleep 10000; done; }
unlock() { rmdir lock; }
]]

-- One request per connection: "VERB TERM NAME VALUES…". Nobody votes for one who knows less: what a majority has is never
-- lost. A word of the same leader that was overtaken by a later one takes nothing back. The answer comes after the lock is
-- given back: who asked may be gone, and writing to it be the end.
local ANSWER = [[#!/bin/sh
. /etc/node
read -r verb term name values
if [ "$verb" = put ]; then exec node-put "$name"; fi
more() { [ $(echo $values | wc -w) -ge $(wc -w <values) ]; }
lock
mine=$(cat term) answer=yes
if [ "$verb" = vote ] && [ "$term" -gt $mine ] && more; then
    echo "$term" >term; : >leader; touch heard
elif [ "$verb" = lead ] && [ "$term" -ge $mine ]; then
    if [ "$term" -gt $mine ] || more; then echo "$values" >values; fi
    echo "$term" >term; echo "$name" >leader; touch heard
else
    answer="no $mine"
fi
unlock
echo "$answer"
]]

-- A client's value: done when a majority has it.
local PUT = [[#!/bin/sh
. /etc/node
[ "$(cat leader)" = $me ] || { echo "refused: ask $(cat leader)"; exit; }
values="$(cat values) $1" yes=1
for peer in $peers; do
    [ "$(echo "lead $(cat term) $me $values" | timeout 3 nc $peer 7000)" = yes ] && yes=$((yes + 1))
done
[ $yes -ge 2 ] && echo "$values" >values && echo committed || echo "refused: no majority"
]]

local NODE = [[#!/bin/sh
. /etc/node
echo 0 >term; : >leader; : >values; touch heard
nc -ll -p 7000 -e node-answer &

# tell REQUEST…: to all peers at once; the answers.
tell() { (for peer in $peers; do echo "$*" | timeout 3 nc $peer 7000 & done; wait) 2>/dev/null; }

while usleep 300000; do
    if [ "$(cat leader)" = $me ]; then
        newer=$(tell lead $(cat term) $me "$(cat values)" | awk -v mine=$(cat term) '$1 == "no" && $2 > mine { print $2; exit }')
        lock
        [ "${newer:-0}" -le $(cat term) ] || { echo $newer >term; : >leader; touch heard; }
        unlock
    elif [ $(($(date +%s) - $(stat -c %Y heard))) -gt $patience ]; then
        lock
        term=$(($(cat term) + 1)); echo $term >term; touch heard
        unlock
        votes=$(tell vote $term $me $(cat values) | grep -c yes)
        lock
        [ $votes -ge 1 ] && [ "$(cat term)" = $term ] && echo $me >leader
        unlock
    fi
done
]]

local names, nodes = {"n1", "n2", "n3"}, {}
local lan = provium:bridge("lan")
for i, name in ipairs(names) do
    local peers = {}
    for _, other in ipairs(names) do
        if other ~= name then peers[#peers + 1] = other end
    end
    nodes[name] = provium:vm(name, "default", {files = {
        {path = "/usr/bin/node", content = NODE, mode = 493},
        {path = "/usr/bin/node-answer", content = ANSWER, mode = 493},
        {path = "/usr/bin/node-put", content = PUT, mode = 493},
        {path = "/etc/node", content = COMMON:format(name, table.concat(peers, " "), 3 + 3 * i)},
    }})
    lan:attach(nodes[name])
end
provium:boot()
for _, vm in pairs(nodes) do
    vm:mkdir("/run/node")
    vm:run_async("node >/dev/console 2>&1")
end

local function read(name, what) return (nodes[name]:run("cat /run/node/" .. what).stdout:gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")) end

-- The one that all of these name, or nil.
local function agreed(list)
    local leader = read(list[1], "leader")
    for _, name in ipairs(list) do
        if read(name, "leader") ~= leader then return nil end
    end
    return leader ~= "" and leader or nil
end

-- On the node itself: what a client that is on its side of the wire would see.
local function put(name, value) return (nodes[name]:run("echo put 0 " .. value .. " | nc 127.0.0.1 7000").stdout:gsub("\n$", "")) end

local function elected(list, what)
    return wait_until(function() return agreed(list) end, {timeout = 90, interval = 0.5, desc = what})
end

test("a partition makes two leaders, of which one can work; healing makes one", {timeout = "5m"}, function(t)
    t:defer(function() lan:restore_all() end)
    local first = elected(names, "a leader that all agree on")
    t:assert_eq(put(first, "before"), "committed")

    local rest = {}
    for _, name in ipairs(names) do
        if name ~= first then
            rest[#rest + 1] = name
            lan:partition(first, name)
        end
    end
    local second = wait_until(function()
        local leader = agreed(rest)
        return leader ~= first and leader
    end, {timeout = 90, interval = 0.5, desc = "a leader of the majority"})
    t:assert_eq(read(first, "leader"), first, "the old one still thinks that it leads")
    t:assert_eq(put(first, "lost"), "refused: no majority")
    t:assert_eq(put(second, "during"), "committed")

    lan:restore_all()
    local leader = elected(names, "one leader again")
    wait_until(function()
        for _, name in ipairs(names) do
            if read(name, "values") ~= "before during" then return false end
        end
        return true
    end, {timeout = 90, interval = 0.5, desc = "one list: " .. leader .. " tells everybody"})
end)
