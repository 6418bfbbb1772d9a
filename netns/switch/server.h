/* The switch process: sockets and time around the core. */
#pragma once

/* Serves one control channel (protocol.h) until its other end closes. Runs in a process of its own;
 * takes over the descriptor. Returns an exit status. */
int switch_serve(int control_fd);
