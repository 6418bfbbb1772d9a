/* The agent overlay: the archive with sbin/provium-agent that is joined to an initrd. */
#pragma once

#include "initrd/hash.h"

#include "base/buf.h"
#include "base/err.h"

#define AGENT_PATH "sbin/provium-agent"
#define AGENT_MAX  (64 << 20) /* bytes of its binary */
/* The agent binary holds these bytes, with the number and a line feed after them. */
#define AGENT_PROTOCOL_MARKER "provium-agent-protocol="

struct overlay {
    struct buf archive;
    char *path; /* where it came from; NULL: built from the embedded agent */
    char *note; /* why an archive that was found is not used, for stderr once; or NULL */
    char hash[HASH_HEX_SIZE];
};
#define OVERLAY_INIT ((struct overlay){.archive = BUF_INIT(0)})

struct overlay_search {
    const char *configured;       /* profile key agent_overlay_path, or NULL */
    const char *environment;      /* $PROVIUM_OVERLAY, or NULL */
    const char *binary_directory; /* of the running provium */
    const void *agent;            /* the embedded agent binary */
    size_t agent_size;
    unsigned protocol; /* that the runner speaks */
};

/* First hit of the search of the configuration page. Fails only for what was set explicitly. */
int overlay_find(const struct overlay_search *search, struct overlay *ret, struct err *e);
void overlay_done(struct overlay *o);
/* The agent's binary out of it, appended to `binary`. */
int overlay_agent(const struct overlay *o, struct buf *binary, struct err *e);
