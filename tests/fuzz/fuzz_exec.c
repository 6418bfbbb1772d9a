/* The agent's parser of exec requests: packed arguments up to a NUL-length byte, then the body of strings. */
#include <stdlib.h>

#include "base/alloc.h"
#include "spawn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct args_exec args;
    struct spawn s;
    if (!size || data[0] > size - 1 ||
        shape_unpack(bytes_of(data + 1, data[0]), operations[OPERATION_exec].args, &args) < 0)
        return 0;
    size_t len = size - 1 - data[0];
    if (!spawn_parse(&s, &args, xmemdup(data + 1 + data[0], len), len)) {
        size_t n = 0;
        for (char **list = s.argv; *list; list++)
            n += strlen(*list);
        for (char **list = s.envp; *list; list++)
            n += strlen(*list);
        for (char **list = s.groups; *list; list++)
            n += strlen(*list);
        if (n == (size_t)-1)
            abort();
    }
    spawn_done(&s);
    return 0;
}
