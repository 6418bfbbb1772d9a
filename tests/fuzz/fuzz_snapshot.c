/* The parsers of what snapshots are made of: the trailer of a file, its manifest, a lab's index. The first byte chooses. */
#include <string.h>

#include "snapshot/lab_file.h"
#include "snapshot/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trailer t;
    struct snapshot_info info;
    uint8_t trailer[TRAILER_SIZE] = {0};
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] % 3) {
    case 0: /* with a hash that is right, so that there is something to be read */
        memcpy(trailer, text, size - 1 < 224 ? size - 1 : 224);
        layout_hash(trailer, 224, trailer + 224);
        if (trailer_unpack(trailer, size, &t, NULL) == 0 && layout_trailer(&t) + TRAILER_SIZE != size)
            __builtin_trap();
        trailer_unpack(trailer, UINT64_MAX, &t, NULL);
        break;
    case 1:
        if (snapshot_info_unpack(text, size - 1, &info, NULL) == 0)
            snapshot_info_done(&info);
        break;
    default:
        lab_file_check(text, size - 1, NULL, NULL, NULL);
    }
    return 0;
}
