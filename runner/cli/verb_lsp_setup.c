/* Types of test files for editors with the Lua language server: DIR/.provium-meta/types.lua, which is ours and always
 * replaced, and DIR/.luarc.json, which may be the user's and is kept unless --force is given. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "cli/lsp.h"
#include "cli/say.h"
#include "cli/verb.h"

extern const char stubs_start[], stubs_end[];

static const char luarc[] = "{\n"
                            "    \"runtime.version\": \"Lua 5.4\",\n"
                            "    \"workspace.library\": [\".provium-meta\"],\n"
                            "    \"workspace.checkThirdParty\": false\n"
                            "}\n";

int lsp_write(const char *directory, bool force, bool *ret_kept, struct err *e)
{
    _cleanup_free_ char *meta = xasprintf("%s/.provium-meta", directory);
    _cleanup_free_ char *types = xasprintf("%s/types.lua", meta);
    _cleanup_free_ char *config = xasprintf("%s/.luarc.json", directory);
    *ret_kept = false;
    if (dir_create_all(meta, 0777, e) < 0 ||
        file_write_atomic(types, stubs_start, (size_t)(stubs_end - stubs_start), 0644, false, e) < 0)
        return -1;
    if (!force && access(config, F_OK) == 0) {
        *ret_kept = true;
        return 0;
    }
    return file_write_atomic(config, luarc, strlen(luarc), 0644, false, e);
}

int verb_lsp_setup(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    const char *directory = options->operands.count ? options->operands.items[0] : ".";
    bool kept;
    if (lsp_write(directory, options->force, &kept, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    printf("%s/.provium-meta/types.lua\n", directory);
    if (!kept) {
        printf("%s/.luarc.json\n", directory);
        return 0;
    }
    say_warning("%s/.luarc.json exists and is kept; it needs (or use --force):", directory);
    fputs(luarc, stdout);
    return EXIT_TESTS_FAILED;
}
