/* The Lua part of the framework, embedded as it is. */
    .section .rodata
    .macro source name
    .global lua_\name\()_start
    .global lua_\name\()_end
lua_\name\()_start:
    .incbin "\name\().lua"
lua_\name\()_end:
    .endm

    source coroutine
    source wait
    source barrier
    source bridge
    source bridge_state
    source link
    source nic
    source lab
    source snapshot
    source framework
    source fixture
    source repl
    source local

    .section .note.GNU-stack, "", @progbits
