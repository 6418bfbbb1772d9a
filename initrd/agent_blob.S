    .section .rodata
    .global agent_blob_start, agent_blob_end
    .balign 16
agent_blob_start:
    .incbin AGENT_BINARY
agent_blob_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
