/* Requests of the control channel: which handler, and the values that many of them take. What is
 * left over of a request makes it malformed. */
#include <errno.h>
#include <string.h>

#include "switch/command.h"

typedef int (*command_fn)(struct server *s, struct unpacker *u, struct packer *reply,
                          struct err *e);

int get_u32(struct unpacker *u, uint32_t *ret)
{
    uint64_t v;
    if (unpack_uint(u, &v) < 0 || v > UINT32_MAX)
        return -1;
    *ret = (uint32_t)v;
    return 0;
}

int get_name(struct unpacker *u, char name[NAME_TEXT])
{
    struct bytes b;
    if (unpack_bytes(u, &b) < 0 || b.len >= NAME_TEXT || memchr(b.data, 0, b.len))
        return -1;
    memcpy(name, b.data, b.len);
    name[b.len] = '\0';
    return 0;
}

int get_bridge(struct server *s, struct unpacker *u, struct bridge **ret, struct err *e)
{
    uint32_t id;
    if (get_u32(u, &id) < 0)
        return -1;
    *ret = switch_bridge(s->core, id);
    return *ret ? 0 : err_set(e, ENOENT, "the bridge is closed");
}

int get_member(struct server *s, struct unpacker *u, struct port **ret, struct err *e)
{
    struct bridge *b;
    char name[NAME_TEXT];
    if (get_bridge(s, u, &b, e) < 0 || get_name(u, name) < 0)
        return -1;
    *ret = bridge_member(b, name, e);
    return *ret ? 0 : -1;
}

int command_run(struct server *s, struct bytes request, struct packer *reply, struct err *e)
{
    static const command_fn commands[] = {
#define VERB(name, handler) [SWITCH_##name] = command_##handler,
        SWITCH_VERBS(VERB)
#undef VERB
    };
    struct unpacker u = unpacker_of(request);
    uint64_t verb;
    if (unpack_uint(&u, &verb) < 0 || verb >= SWITCH_VERB_COUNT)
        return -1;
    if (commands[verb](s, &u, reply, e) < 0)
        return -1;
    return u.at == u.end ? 0 : -1;
}
