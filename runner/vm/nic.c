/* NICs that come, go or lose their link while the VM runs. */
#include "vm/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define UNPLUG_NS (10 * NS_PER_S)

static json_t *device_properties(const struct machine_nic *nic, const char *slot)
{
    json_t *device = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-net-pci", "id", nic->id, "netdev", nic->id,
                               "mac", nic->mac, "bus", "hotplug", "addr", slot, "romfile", "");
    _cleanup_free_ char *features = xstrdup(MACHINE_NIC_FEATURES);
    char *state;
    for (char *one = strtok_r(features, ",", &state); one; one = strtok_r(NULL, ",", &state)) {
        one[strcspn(one, "=")] = '\0';
        json_object_set_new(device, one, json_false());
    }
    return device;
}

/* Index of a free slot, or -1. */
static int free_slot(const struct vm *vm)
{
    for (int i = 0; i < MACHINE_HOTPLUG_SLOTS; i++)
        if (!*vm->slots[i])
            return i;
    return -1;
}

unsigned vm_free_slots(const struct vm *vm)
{
    unsigned count = 0;
    for (int i = 0; i < MACHINE_HOTPLUG_SLOTS; i++)
        count += !*vm->slots[i];
    return count;
}

/* Hands the descriptor over; *ret_number is its number in QEMU. A name given by getfd would not do: `stream` connects in
 * a thread, where QEMU (7.2) knows no monitor and takes the text for a number (util/qemu-sockets.c, socket_get_fd). */
static int pass_fd(struct vm *vm, int fd, char ret_number[static 16], int64_t deadline, struct err *e)
{
    json_t *reply = NULL;
    if (qmp_call_fd(vm->qmp, "add-fd", json_object(), fd, deadline, &reply, e) < 0)
        return -1;
    snprintf(ret_number, 16, "%d", (int)json_integer_value(json_object_get(reply, "fd")));
    json_decref(reply);
    return 0;
}

int vm_plug_nic(struct vm *vm, const struct machine_nic *nic, int64_t deadline, struct err *e)
{
    char slot[16], number[16];
    int index = free_slot(vm);
    if (index < 0)
        return err_set(e, ENOSPC, "no free slot: at most %d NICs are hot-plugged; attach before boot", MACHINE_HOTPLUG_SLOTS);
    snprintf(slot, sizeof(slot), "0x%x", index + 1);
    if (pass_fd(vm, nic->fd, number, deadline, e) < 0 ||
        qmp_call(vm->qmp, "netdev_add",
                 json_pack("{s:s, s:s, s:b, s:{s:s, s:s}}", "type", "stream", "id", nic->id, "server", 0, "addr", "type",
                           "fd", "str", number), deadline, NULL, e) < 0)
        return -1;
    if (qmp_call(vm->qmp, "device_add", device_properties(nic, slot), deadline, NULL, e) < 0) {
        qmp_call(vm->qmp, "netdev_del", json_pack("{s:s}", "id", nic->id), deadline, NULL, NULL);
        return -1;
    }
    snprintf(vm->slots[index], sizeof(vm->slots[index]), "%s", nic->id);
    return 0;
}

int vm_unplug_nic(struct vm *vm, const char *id, int64_t deadline, struct err *e)
{
    int64_t limit = deadline_after(UNPLUG_NS);
    vm->unplugged = false;
    snprintf(vm->unplugging, sizeof(vm->unplugging), "%s", id);
    if (qmp_call(vm->qmp, "device_del", json_pack("{s:s}", "id", id), deadline, NULL, e) < 0)
        return -1;
    if (loop_wait(vm->loop, &vm->unplugged, limit < deadline ? limit : deadline) < 0)
        return err_set(e, errno, "the guest did not release the NIC within 10s");
    for (int i = 0; i < MACHINE_HOTPLUG_SLOTS; i++)
        if (!strcmp(vm->slots[i], id))
            vm->slots[i][0] = '\0';
    return qmp_call(vm->qmp, "netdev_del", json_pack("{s:s}", "id", id), deadline, NULL, e);
}

int vm_nic_slot(const struct vm *vm, const char *id)
{
    for (int i = 0; i < MACHINE_HOTPLUG_SLOTS; i++)
        if (!strcmp(vm->slots[i], id))
            return i;
    return -1;
}

int vm_set_link(struct vm *vm, const char *id, bool up, int64_t deadline, struct err *e)
{
    return qmp_call(vm->qmp, "set_link", json_pack("{s:s, s:b}", "name", id, "up", up), deadline, NULL, e);
}
