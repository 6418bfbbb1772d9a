/* vm_spawned and vm_shutdown. The file's name and what is missing when this process dies are the dispatcher's. */
#include "base/alloc.h"
#include "events/payload.h"
#include "script/vm.h"

static void on_ended(struct vm *vm, void *arg)
{
    struct vm_object *o = arg;
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "vm_name", o->name);
    payload_add_uint(&p, "cid", o->cid);
    payload_add_int(&p, "duration_ns", clock_monotonic_ns() - vm_started_ns(vm));
    payload_add_text(&p, "reason", vm_state(vm) == VM_DEAD ? "dead" : o->closing ? "shutdown" : "poweroff");
    pool_client_emit_payload(o->script->pool, "vm_shutdown", &p);
}

void vm_announce_boot(struct script *s, struct vm_object *o, const char *source)
{
    const struct machine *machine = &o->launch.boot.machine;
    _cleanup_payload_ struct payload p = PAYLOAD_INIT;
    payload_add_text(&p, "vm_name", o->name);
    payload_add_text(&p, "profile", o->profile->name);
    payload_add_uint(&p, "memory_bytes", machine->memory_bytes);
    payload_add_uint(&p, "cid", o->cid);
    payload_add_uint(&p, "cpus", machine->cpus);
    payload_add_int(&p, "boot_ns", clock_monotonic_ns() - vm_started_ns(o->vm));
    payload_add_text(&p, "source", source);
    payload_add_bool(&p, "ahead", o->was_ahead);
    pool_client_emit_spawned(s->pool, &p, console_log_fd(vm_console(o->vm)));
    o->script = s;
    vm_on_ended(o->vm, on_ended, o);
}
