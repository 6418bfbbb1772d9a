-- --vmm local: there is no machine, only the agent as a process of this host (runner/vm/local.c). What needs a machine raises,
-- naming itself and the flag. Loaded with (core, scopes, bridges), after all that it takes the place of.
local core, scopes, bridges = ...

local function refuse(format, ...)
    core.fail(format:format(...) .. ": not possible with --vmm local, which has no machine; run without it")
end

for _, name in ipairs{"pause", "resume", "reset", "power_button", "wakeup", "snapshot", "restore", "nic", "ip"} do
    core.vm_methods[name] = function(vm) refuse('vm "%s": %s', vm:name(), name) end
end

for _, name in ipairs{"set", "set_ns", "advance"} do
    core.clock_methods[name] = function(clock) refuse("%s: clock: %s", tostring(clock):match("^clock of (.*)$"), name) end
end

for _, name in ipairs{"pause", "resume", "snapshot", "restore", "vm_fixture", "lab_fixture"} do
    scopes.lab_methods[name] = function() refuse("lab:%s", name) end
end

function bridges.methods.attach() refuse("bridge:attach") end
function scopes.read_origin() refuse("lab:vm: from_snapshot") end
function scopes.take_baseline() refuse("reset_between_tests") end
