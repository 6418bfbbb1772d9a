#pragma once

#include "process.h"

/* Writes what the pipe takes now and ends the writers that are done. */
void stdin_pump(struct process *p);
/* Closes the pipe; what was to be written fails with EPIPE. */
void stdin_close(struct process *p);

/* Operations write_stdin and close_stdin. */
void stdin_write(struct call *call);
void stdin_more(struct call *call);
void stdin_cancel(struct call *call);
void stdin_end(struct call *call);
