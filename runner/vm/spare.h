/* A machine that is started ahead of need: a QEMU that has loaded a snapshot's state and waits, for a VM to go on with. */
#pragma once

#include "snapshot/snapshot_file.h"
#include "vm/vm.h"

struct spare;

/* Takes `file`; borrows `boot`, from launch_restore, for the call. With `warm` its guest runs until it has greeted and executed
 * one command, so that its code is translated (under TCG) and its memory mapped when the VM gets it; without, it has not
 * run. Returns at once: the rest happens on the loop. */
struct spare *spare_new(struct loop *loop, const struct vm_boot *boot, struct snapshot_file *file, bool warm, struct err *e);
void spare_free(struct spare *spare);
DEFINE_CLEANUP(struct spare, spare_free)

/* Can it be used? It can from the beginning, whatever is still to be done. */
bool spare_is_good(const struct spare *spare);
bool spare_is_warm(const struct spare *spare);
const struct snapshot_file *spare_file(const struct spare *spare);
/* The socket whose far end is that NIC's (in the order of the snapshot): the caller's from now on. */
int spare_take_nic(struct spare *spare, size_t index);

/* As vm_restore_begin, from a spare (taken) whose NICs are connected. */
int vm_restore_spare(struct vm *vm, const struct vm_boot *boot, struct spare *spare, struct vm_mark *mark, struct err *e);
