#include "vm/host_cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "initrd/hash.h"

#define HASH_SHOWN 12

/* The first processor's lines of /proc/cpuinfo that tell the model and its features; not those of the moment (MHz). */
char *host_cpu_identity(void)
{
    static const char *const keys[] = {"vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part",
                                       "CPU variant", "CPU revision", "Features"};
    _cleanup_free_ char *line = NULL, *name = xstrdup("unknown");
    _cleanup_fclose_ FILE *f = fopen("/proc/cpuinfo", "re");
    size_t cap = 0;
    char hex[HASH_HEX_SIZE];
    struct sha256_ctx hash;
    sha256_init(&hash);
    while (f && getline(&line, &cap, f) > 1) { /* up to the empty line */
        size_t key_len = strcspn(line, "\t:");
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
            if (strlen(keys[i]) == key_len && !memcmp(line, keys[i], key_len))
                sha256_update(&hash, strlen(line), (const uint8_t *)line);
        const char *value = strstr(line, ": ");
        if (value && !strncmp(line, "model name", 10)) {
            free(name);
            name = xstrndup(value + 2, strcspn(value + 2, "\n"));
        }
    }
    hash_finish(&hash, hex);
    return xasprintf("%s (%.*s)", name, HASH_SHOWN, hex);
}
