/* The program of the KVM trial: from 32-bit protected mode without paging, as a PVH or multiboot entry leaves a
 * machine, to 64-bit mode by itself, then a loop of dependent arithmetic and memory accesses. */
#include "vm/accel_guest.h"

    .section .rodata
    .globl trial_code, trial_code_end
trial_code:
    .code32
    mov $0x20, %eax                     /* CR4.PAE */
    mov %eax, %cr4
    mov $TRIAL_PML4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx               /* EFER.LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax                      /* CR0.PG */
    or $0x80000000, %eax
    mov %eax, %cr0
    lgdt TRIAL_GDTR
    ljmp $TRIAL_CODE_SELECTOR, $(TRIAL_CODE + long_mode - trial_code)

    .code64
long_mode:
    mov $TRIAL_DATA_SELECTOR, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $TRIAL_STACK, %esp
    out %al, $TRIAL_PORT_STARTED
    mov $TRIAL_SEED, %rax
    mov $TRIAL_DATA, %edi
    mov $TRIAL_ROUNDS, %ecx
next_round:
    mov %rax, %rdx
    shl $13, %rdx
    xor %rdx, %rax
    mov %rax, %rdx
    shr $7, %rdx
    xor %rdx, %rax
    mov %rax, %rdx
    shl $17, %rdx
    xor %rdx, %rax
    mov %eax, %edx
    and $TRIAL_DATA_MASK, %edx
    add (%rdi, %rdx), %rax
    mov %rax, (%rdi, %rdx)
    dec %ecx
    mov %ecx, TRIAL_ROUNDS_LEFT
    jnz next_round
    mov %rax, TRIAL_RESULT
    out %al, $TRIAL_PORT_DONE
halt:
    hlt
    jmp halt
trial_code_end:

    .section .note.GNU-stack, "", @progbits
