/* While a fixture is built, what it uses is compared with what the scan of its text has found: a variable, an alias or a
 * joined string hides a use from the key, and a change of it would go unnoticed. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"
#include "script/argument.h"
#include "script/fixture.h"

static bool is_found(const struct fixture_key *key, const char *call, const char *name)
{
    const struct strv *list = !strcmp(call, "require")          ? &key->source.modules
                              : str_ends_with(call, "_fixture") ? &key->reached
                                                                : &key->source.files;
    return strv_contains(list, name);
}

void fixture_note_use(lua_State *L, int level, const char *call, const char *name)
{
    struct script *s = script_of(L);
    if (!s->covers)
        return;
    char *absolute = strstr(call, "_file") ? path_absolute(name) : xstrdup(name);
    bool missed = !is_found(s->covers, call, absolute) && !strv_contains(&s->missed, absolute);
    if (missed) {
        strv_add(&s->missed, absolute);
        push_position(L, level);
        fprintf(stderr,
                "provium: fixture `%s`: %s%s of `%s` is not seen from the text, and a change of it will not lead to a new "
                "build; add a literal provium:depends_on_file(\"...\") of its file\n",
                s->covers->source.name, lua_tostring(L, -1), call, name);
        lua_pop(L, 1);
    }
    free(absolute);
}

/* core.note_use(call, name) */
int fixture_note_binding(lua_State *L)
{
    const char *call = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    fixture_note_use(L, 1, call, strcmp(call, "depends_on_file") ? name : push_beside_caller(L, name, false));
    return 0;
}
