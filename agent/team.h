/* Threads that take turns. One of them leads: it waits for events and runs calls. A call that blocks must not keep the
 * others from being served, so the lead passes to another thread as soon as that is noticed. */
#pragma once

#include "call.h"

int team_init(struct agent *a);
/* Joins the team for good, with the lock; the first to do so leads. */
void team_serve(struct agent *a) __attribute__((noreturn));
/* The same for a thread without a team (options.alone): returns when the channel has ended. */
void team_serve_alone(struct agent *a);
/* Takes in what comes next, when it has; 0, or -1 when the channel has ended. */
int team_wait_alone(struct agent *a);
/* Has a call run by whoever leads. */
void team_submit(struct call *call);
/* To be called with the lock by a thread that runs a call, before it waits for something that events bring. -1: there
 * is no other thread to be had, and waiting would be for ever. */
int team_pass_lead(struct agent *a);
/* Interrupts the system call that a running, cancelled call may be blocked in. */
void team_interrupt(struct call *call);
