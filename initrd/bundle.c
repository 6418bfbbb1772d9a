#include "initrd/bundle.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/strv.h"

static const char *const kernel_names[] = {"vmlinux", "vmlinuz", "Image"};

/* The places where a bundled guest may be, in order. */
static void add_places(const char *environment, const char *binary_directory, struct strv *places)
{
    if (environment) {
        strv_add(places, environment);
        return;
    }
    strv_take(places, path_join(binary_directory, "../share/provium/guest"));
    _cleanup_free_ char *directory = xstrdup(binary_directory);
    for (;;) {
        char *parent = path_directory(directory);
        bool top = !strcmp(parent, directory);
        free(directory);
        directory = parent;
        if (top)
            return;
        strv_take(places, path_join(directory, "dist/guest"));
    }
}

/* Kernel and initrd when both are there. */
static bool look(const char *place, char **ret_kernel, char **ret_initrd)
{
    _cleanup_free_ char *initrd = path_join(place, "initrd");
    if (access(initrd, F_OK) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(kernel_names); i++) {
        _cleanup_free_ char *kernel = path_join(place, kernel_names[i]);
        if (access(kernel, F_OK) < 0)
            continue;
        if (ret_kernel)
            *ret_kernel = steal_ptr(kernel);
        if (ret_initrd)
            *ret_initrd = steal_ptr(initrd);
        return true;
    }
    return false;
}

int bundle_find(const char *environment, const char *binary_directory, const char *arch, char **ret_kernel,
                char **ret_initrd, struct err *e)
{
    _cleanup_strv_ struct strv places = STRV_INIT;
    add_places(environment, binary_directory, &places);
    for (size_t i = 0; i < places.count; i++) {
        if (strcmp(arch, "x86_64")) {
            char *foreign = path_join(places.items[i], arch);
            free(places.items[i]);
            places.items[i] = foreign;
        }
        if (look(places.items[i], ret_kernel, ret_initrd))
            return 0;
    }
    _cleanup_free_ char *list = strv_join(&places, ", ");
    err_set(e, ENOENT, "no bundled guest for %s in %s", arch, list);
    return err_hint(e, "build it with scripts/build-guest, or set kernel and initrd in the profile, or PROVIUM_GUEST_DIR");
}
