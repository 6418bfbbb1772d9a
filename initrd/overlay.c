/* Finding the overlay. What the user names has to be usable; what merely lies where an overlay could be is used only
 * if its agent speaks our protocol version, and the embedded agent stands in otherwise. */
#include "initrd/overlay.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/strv.h"
#include "initrd/cpio.h"
#include "initrd/scan.h"

#define ARCHIVE_MAX (64 << 20)
#define FILE_NAME   "agent-overlay.cpio.gz"

void overlay_done(struct overlay *o)
{
    buf_done(&o->archive);
    free(o->path);
    free(o->note);
    *o = OVERLAY_INIT;
}

/* --- the agent inside of an archive --- */

struct agent {
    bool inside; /* the data that follows is the agent's */
    bool found;
    struct buf *binary;
};

static int on_entry(void *arg, const struct cpio_entry *entry, struct err *e)
{
    struct agent *agent = arg;
    (void)e;
    agent->inside = S_ISREG(entry->mode) && entry->size && !strcmp(cpio_name(entry), AGENT_PATH);
    if (agent->inside) {
        agent->found = true;
        buf_clear(agent->binary);
    }
    return 0;
}

static int on_data(void *arg, const uint8_t *p, size_t n, struct err *e)
{
    struct agent *agent = arg;
    if (agent->inside && buf_append(agent->binary, p, n) < 0)
        return err_set(e, EFBIG, "its agent is larger than %d MiB", AGENT_MAX >> 20);
    return 0;
}

int overlay_agent(const struct overlay *o, struct buf *binary, struct err *e)
{
    struct agent agent = {.binary = binary};
    const struct cpio_visitor visitor = {.entry = on_entry, .data = on_data, .arg = &agent};
    if (initrd_scan_bytes(buf_head(&o->archive), o->archive.len, &visitor, e) < 0)
        return -1;
    return agent.found ? 0 : err_set(e, EINVAL, "it does not hold " AGENT_PATH);
}

/* The protocol version that a binary declares, -1 for none. */
static long agent_protocol(const struct buf *binary)
{
    if (!binary->len)
        return -1;
    const char *at = memmem(buf_head(binary), binary->len, AGENT_PROTOCOL_MARKER, strlen(AGENT_PROTOCOL_MARKER));
    if (!at)
        return -1;
    at += strlen(AGENT_PROTOCOL_MARKER);
    size_t left = (size_t)((const char *)buf_head(binary) + binary->len - at);
    long version = 0;
    size_t digits = 0;
    for (; digits < left && digits < 6 && at[digits] >= '0' && at[digits] <= '9'; digits++)
        version = 10 * version + (at[digits] - '0');
    return digits && digits < left && at[digits] == '\n' ? version : -1;
}

static int load(const char *path, struct overlay *o, long *ret_protocol, struct err *e)
{
    _cleanup_buf_ struct buf binary = BUF_INIT(AGENT_MAX);
    o->archive = BUF_INIT(ARCHIVE_MAX);
    int result = file_read(path, &o->archive, e);
    if (result == 0 && (result = overlay_agent(o, &binary, e)) < 0)
        err_prefix(e, "`%s`", path);
    *ret_protocol = agent_protocol(&binary);
    if (result < 0)
        return -1;
    o->path = xstrdup(path);
    hash_bytes(buf_head(&o->archive), o->archive.len, o->hash);
    return 0;
}

/* --- the search --- */

static int load_named(const char *origin, const char *path, struct overlay *o, struct err *e)
{
    long protocol;
    if (load(path, o, &protocol, e) < 0)
        return err_prefix(e, "%s", origin);
    return 0;
}

/* 1 when used, 0 when absent or passed over (with a note). */
static int try_found(const char *path, unsigned protocol, struct overlay *o)
{
    _cleanup_(overlay_done) struct overlay candidate = OVERLAY_INIT;
    _cleanup_err_ struct err e = ERR_INIT;
    long version;
    if (access(path, F_OK) < 0)
        return 0;
    if (load(path, &candidate, &version, &e) == 0) {
        if (version == (long)protocol) {
            candidate.note = steal_ptr(o->note);
            *o = candidate;
            candidate = OVERLAY_INIT;
            return 1;
        }
        if (version < 0)
            err_set(&e, 0, "`%s`: its agent names no protocol version", path);
        else
            err_set(&e, 0, "`%s`: its agent speaks protocol version %ld, this provium %u", path, version, protocol);
    }
    free(o->note);
    o->note = xasprintf("agent overlay passed over: %s", err_message(&e));
    return 0;
}

static int find_beside_binary(const struct overlay_search *search, struct overlay *o)
{
    _cleanup_free_ char *shared = path_join(search->binary_directory, "../share/provium/" FILE_NAME);
    if (try_found(shared, search->protocol, o))
        return 1;
    _cleanup_free_ char *directory = xstrdup(search->binary_directory);
    for (;;) {
        _cleanup_free_ char *path = path_join(directory, "dist/" FILE_NAME);
        if (try_found(path, search->protocol, o))
            return 1;
        char *parent = path_directory(directory);
        bool top = !strcmp(parent, directory);
        free(directory);
        directory = parent;
        if (top)
            return 0;
    }
}

static void build(const struct overlay_search *search, struct overlay *o)
{
    o->archive = BUF_INIT(search->agent_size + 4096);
    const struct cpio_entry agent = {.name = AGENT_PATH, .inode = 1, .mode = S_IFREG | 0755, .links = 1,
                                     .size = (uint32_t)search->agent_size};
    cpio_append(&o->archive, &agent, search->agent);
    cpio_finish(&o->archive);
    hash_bytes(buf_head(&o->archive), o->archive.len, o->hash);
}

int overlay_find(const struct overlay_search *search, struct overlay *ret, struct err *e)
{
    _cleanup_(overlay_done) struct overlay o = OVERLAY_INIT;
    if (search->configured) {
        if (load_named("agent_overlay_path", search->configured, &o, e) < 0)
            return -1;
    } else if (search->environment) {
        if (load_named("PROVIUM_OVERLAY", search->environment, &o, e) < 0)
            return -1;
    } else if (!find_beside_binary(search, &o)) {
        build(search, &o);
    }
    *ret = o;
    o = OVERLAY_INIT;
    return 0;
}
