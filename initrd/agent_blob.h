/* The guest agent's binary, which is linked into the runner (agent_blob.S). */
#pragma once

#include <stddef.h>

extern const unsigned char agent_blob_start[], agent_blob_end[];

static inline size_t agent_blob_size(void)
{
    return (size_t)(agent_blob_end - agent_blob_start);
}
