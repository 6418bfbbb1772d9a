/* bench_network.sh as bytes. */
    .section .rodata
    .global guest_script_start, guest_script_end
guest_script_start:
    .incbin "bench_network.sh"
guest_script_end:
    .section .note.GNU-stack, "", @progbits
