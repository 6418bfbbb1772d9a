/* A session: what one host says between two sync marks. */
#pragma once

#include "call.h"

/* Tells the host that an agent is here and waits for its hello; `why` says what ended the session before. */
void session_announce(struct agent *a, const char *why);
/* The host broke the protocol: everything of its session is dropped, and it may begin a new one. */
void session_violation(struct agent *a, const char *why);
/* Handles whatever has come in. */
void session_receive(struct agent *a);

/* Operations. */
void session_hello(struct call *call);
void session_ping(struct call *call);
void session_settle(struct call *call);
void session_quiesce(struct call *call);
void session_gate(struct call *call);
void session_open_gate(struct call *call);
