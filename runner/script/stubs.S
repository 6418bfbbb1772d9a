/* The types of test files for editors, one text made of stubs/: what `provium lsp-setup` writes. */
    .section .rodata
    .global stubs_start
    .global stubs_end
stubs_start:
    .incbin "globals.lua"
    .incbin "lab.lua"
    .incbin "vm.lua"
    .incbin "handles.lua"
    .incbin "network.lua"
stubs_end:

    .section .note.GNU-stack, "", @progbits
