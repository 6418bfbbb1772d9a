/* Handlers of the control channel's verbs. Each reads its values in order and packs its reply; -1
 * without a message means that the request is malformed. */
#pragma once

#include "switch/process.h"
#include "switch/protocol.h"
#include "switch/types.h"

#define COMMAND(name)                                                                              \
    int command_##name(struct server *s, struct unpacker *u,                                       \
                       struct packer *reply __attribute__((unused)),                               \
                       struct err *e __attribute__((unused)))

#define VERB(name, handler) COMMAND(handler);
SWITCH_VERBS(VERB)
#undef VERB

int get_u32(struct unpacker *u, uint32_t *ret);
int get_name(struct unpacker *u, char name[NAME_TEXT]);
/* … or an error that can be told to the user. */
int get_bridge(struct server *s, struct unpacker *u, struct bridge **ret, struct err *e);
int get_member(struct server *s, struct unpacker *u, struct port **ret, struct err *e);
