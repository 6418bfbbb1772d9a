/* Shared by the guest program of the KVM trial (accel_guest.S) and the host part (accel_kvm.c):
 * guest-physical addresses and the parameters of the loop. The first 4 MiB are mapped one to one by
 * 2 MiB pages. */
#pragma once

#define TRIAL_MEMORY      0x400000
#define TRIAL_PML4        0x1000
#define TRIAL_PDPT        0x2000
#define TRIAL_PD          0x3000
#define TRIAL_GDT         0x4000
#define TRIAL_GDTR        0x4100
#define TRIAL_RESULT      0x6000 /* u64 */
#define TRIAL_ROUNDS_LEFT 0x6008 /* u32, kept while the loop runs */
#define TRIAL_STACK       0x7000
#define TRIAL_CODE        0x8000
#define TRIAL_DATA        0x200000

#define TRIAL_CODE_SELECTOR 8
#define TRIAL_DATA_SELECTOR 16

#define TRIAL_PORT_STARTED 0xf5 /* written in 64-bit mode, before the loop */
#define TRIAL_PORT_DONE    0xf4

#define TRIAL_SEED      0x9e3779b97f4a7c15
#define TRIAL_ROUNDS    2097152
#define TRIAL_DATA_MASK 0xffff8 /* 1 MiB in steps of 8 */
#define TRIAL_EXPECTED  0x3148196a5661a42e
