/* page.css and page.js as bytes, for page.c. */
    .section .rodata
    .macro asset name, file
    .global \name\()_start, \name\()_end
\name\()_start:
    .incbin "\file"
\name\()_end:
    .endm
    asset page_css, "page.css"
    asset page_js, "page.js"
    .section .note.GNU-stack, "", @progbits
