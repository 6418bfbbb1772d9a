/* Compiling takes longer than everything else that a process does before its test file runs. The dispatcher does it once;
 * its bytecode goes only to processes of the same program, so the version of Lua is the same. The memfd holds, in the order
 * of the parts, a size_t and so many bytes each. */
#include "script/library.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

#define COMPILED_MAX ((size_t)16 << 20)

/* lua_sources.S */
#define EACH_PART(part)                                                                                            \
    part(coroutine) part(wait) part(barrier) part(bridge) part(bridge_state) part(link) part(nic) part(lab)        \
        part(snapshot) part(framework) part(fixture) part(repl) part(local)
#define DECLARE(name) extern const char lua_##name##_start[], lua_##name##_end[];
EACH_PART(DECLARE)

#define ROW(name) {#name, lua_##name##_start, lua_##name##_end},
static const struct part {
    const char *name, *start, *end;
} parts[] = {EACH_PART(ROW)};

struct library {
    const uint8_t *bytes;
    size_t size;
};

static int append(lua_State *L, const void *p, size_t n, void *arg)
{
    (void)L;
    return buf_append(arg, p, n);
}

static int load_text(lua_State *L, const struct part *part)
{
    char name[64];
    snprintf(name, sizeof(name), "=[provium:%s]", part->name);
    return luaL_loadbufferx(L, part->start, (size_t)(part->end - part->start), name, "t");
}

int library_compile(void)
{
    _cleanup_buf_ struct buf all = BUF_INIT(COMPILED_MAX);
    lua_State *L = luaL_newstate();
    bool failed = !L;
    for (size_t i = 0; i < ARRAY_SIZE(parts) && !failed; i++) {
        _cleanup_buf_ struct buf one = BUF_INIT(COMPILED_MAX);
        failed = load_text(L, &parts[i]) != LUA_OK || lua_dump(L, append, &one, 0) ||
                 buf_append(&all, &one.len, sizeof(one.len)) < 0 || buf_append(&all, buf_head(&one), one.len) < 0;
        lua_settop(L, 0);
    }
    if (L)
        lua_close(L);
    _cleanup_close_ int fd = failed ? -1 : memfd_create("provium-lua", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write_full(fd, buf_head(&all), all.len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -1;
    return steal_fd(&fd);
}

struct library *library_open(int fd)
{
    struct stat st;
    _cleanup_close_ int owned = fd;
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    struct library *l = xnew0(struct library);
    *l = (struct library){.bytes = bytes, .size = (size_t)st.st_size};
    return l;
}

void library_close(struct library *l)
{
    if (!l)
        return;
    munmap((void *)l->bytes, l->size);
    free(l);
}

/* The compiled form of the n-th part, or NULL. */
static const char *find_compiled(const struct library *l, size_t n, size_t *ret_size)
{
    size_t at = 0, size = 0;
    for (size_t i = 0; l && i <= n; i++, at += size) {
        if (l->size - at < sizeof(size))
            return NULL;
        memcpy(&size, l->bytes + at, sizeof(size));
        at += sizeof(size);
        if (size > l->size - at)
            return NULL;
        if (i == n) {
            *ret_size = size;
            return (const char *)l->bytes + at;
        }
    }
    return NULL;
}

void library_push(lua_State *L, const struct library *l, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (strcmp(parts[i].name, name))
            continue;
        size_t size;
        const char *compiled = find_compiled(l, i, &size);
        if ((compiled ? luaL_loadbufferx(L, compiled, size, name, "b") : load_text(L, &parts[i])) != LUA_OK)
            lua_error(L);
        return;
    }
    luaL_error(L, "no part `%s`", name);
}
