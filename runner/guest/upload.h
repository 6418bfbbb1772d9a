/* Bodies of requests, for call.c and channel.c. Not for callers of guest_*. */
#pragma once

#include "guest/channel.h"

/* Fills in data and `more` of the next message of the body, as far as window and memory go. False: nothing can be sent
 * now. Then, what message_put took of it. */
bool guest_upload_next(struct guest_call *call, struct message *m);
void guest_upload_sent(struct guest_call *call, ssize_t taken);
/* Sends what window and queue allow of the body; of all bodies. */
void guest_upload_pump(struct guest_call *call);
void guest_upload_pump_all(struct guest *g);
