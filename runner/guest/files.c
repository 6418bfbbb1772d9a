#include "guest/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "guest/start.h"

#define LISTING_MAX (64 * 1024 * 1024)

/* A request without a value of its own, of which only the end counts. */
static int await(struct guest_call *call, int64_t deadline, struct err *e)
{
    int result = guest_call_await(call, deadline, NULL, e);
    guest_call_free(call);
    return result;
}

struct guest_call *guest_read_file_start(struct guest *g, uint64_t after, struct call_budget *budget, const char *path)
{
    struct args_read_file args = {.path = bytes_str(path), .limit = GUEST_FILE_MAX};
    struct guest_call_request request = {
        .args = &args, .body_max = GUEST_FILE_MAX, .after = after, .budget = budget};
    return guest_call_start(g, OPERATION_read_file, &request, "read_file \"%s\"", path);
}

int guest_read_file(struct guest *g, const char *path, struct buf *out, int64_t deadline, struct err *e)
{
    _cleanup_(guest_call_freep) struct guest_call *call = guest_read_file_start(g, 0, NULL, path);
    if (guest_call_await(call, deadline, NULL, e) < 0) {
        if (e && e->code == EFBIG)
            err_hint(e, "over 256 MiB: use open_file or pull_file");
        return -1;
    }
    if (!out->len && out->max >= call->body.max) { /* take it over without a copy */
        size_t max = out->max;
        buf_done(out);
        *out = call->body;
        out->max = max;
        call->body = BUF_INIT(0);
        return 0;
    }
    if (buf_append(out, buf_head(&call->body), call->body.len) < 0)
        return err_set(e, EFBIG, "read_file \"%s\": more than %zu bytes", path, out->max);
    return 0;
}

struct guest_call *guest_write_file_start(struct guest *g, uint64_t after, const char *path, const void *data, size_t n,
                                          int perm)
{
    struct args_write_file args = {.path = bytes_str(path), .perm = perm};
    struct guest_call_request request = {.args = &args, .data = data, .len = n, .after = after};
    return guest_call_start(g, OPERATION_write_file, &request, "write_file \"%s\"", path);
}

int guest_write_file(struct guest *g, const char *path, const void *data, size_t n, int perm,
                     int64_t deadline, struct err *e)
{
    return await(guest_write_file_start(g, 0, path, data, n, perm), deadline, e);
}

/* The static name of a type, which the agent sent by name. */
static const char *known_type(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_SIZE(entry_types); i++)
        if (bytes_is(name, entry_types[i].name))
            return entry_types[i].name;
    return entry_type_name('o');
}

struct guest_call *guest_stat_start(struct guest *g, uint64_t after, const char *path, bool follow)
{
    struct args_stat args = {.path = bytes_str(path), .nofollow = !follow};
    struct guest_call_request request = {.args = &args, .after = after};
    return guest_call_start(g, OPERATION_stat, &request, "stat \"%s\"", path);
}

int guest_stat_finish(struct guest_call *call, struct guest_stat *ret, struct err *e)
{
    struct value_stat value;
    if (guest_call_result(call, &value, e) < 0)
        return -1;
    *ret = (struct guest_stat){
        .size = value.size,
        .mtime_ns = value.mtime_ns,
        .perm = value.perm & 07777,
        .entry_type = known_type(value.entry_type),
        .uid = value.uid,
        .gid = value.gid,
        .nlink = value.nlink,
        .ino = value.ino,
        .dev = value.dev,
        .rdev = value.rdev,
    };
    return 0;
}

int guest_stat(struct guest *g, const char *path, bool follow, struct guest_stat *ret,
               int64_t deadline, struct err *e)
{
    _cleanup_(guest_call_freep) struct guest_call *call = guest_stat_start(g, 0, path, follow);
    return guest_call_await(call, deadline, NULL, e) < 0 ? -1 : guest_stat_finish(call, ret, e);
}

void guest_listing_done(struct guest_listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i].name);
    free(l->entries);
    *l = (struct guest_listing){0};
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct guest_entry *)a)->name, ((const struct guest_entry *)b)->name);
}

/* Records `<letter><name>NUL`. */
static int parse_listing(struct bytes body, struct guest_listing *ret)
{
    struct guest_listing l = {0};
    size_t cap = 0;
    while (body.len) {
        const uint8_t *end = memchr(body.data, 0, body.len);
        const char *type = entry_type_name((char)body.data[0]);
        if (!type || !end || end < body.data + 2) {
            guest_listing_done(&l);
            return -1;
        }
        if (l.count == cap) {
            cap = cap ? 2 * cap : 64;
            l.entries = xreallocarray(l.entries, cap, sizeof(*l.entries));
        }
        l.entries[l.count++] = (struct guest_entry){.name = xstrdup((const char *)body.data + 1), .entry_type = type};
        size_t step = (size_t)(end + 1 - body.data);
        body = bytes_of(body.data + step, body.len - step);
    }
    if (l.count)
        qsort(l.entries, l.count, sizeof(*l.entries), compare_entries);
    *ret = l;
    return 0;
}

struct guest_call *guest_listdir_start(struct guest *g, uint64_t after, struct call_budget *budget, const char *path)
{
    struct args_path args = {.path = bytes_str(path)};
    struct guest_call_request request = {
        .args = &args, .body_max = LISTING_MAX, .after = after, .budget = budget};
    return guest_call_start(g, OPERATION_listdir, &request, "listdir \"%s\"", path);
}

int guest_listdir_finish(struct guest_call *call, struct guest_listing *ret, struct err *e)
{
    if (guest_call_result(call, NULL, e) < 0)
        return -1;
    if (parse_listing(bytes_of(buf_head(&call->body), call->body.len), ret) < 0)
        return err_set(e, EPROTO, "%s: malformed listing from the agent", call->label);
    return 0;
}

int guest_listdir(struct guest *g, const char *path, struct guest_listing *ret, int64_t deadline, struct err *e)
{
    _cleanup_(guest_call_freep) struct guest_call *call = guest_listdir_start(g, 0, NULL, path);
    return guest_call_await(call, deadline, NULL, e) < 0 ? -1 : guest_listdir_finish(call, ret, e);
}

struct guest_call *guest_mkdir_start(struct guest *g, uint64_t after, const char *path, unsigned perm, bool parents)
{
    struct args_mkdir args = {.path = bytes_str(path), .perm = perm, .parents = parents};
    struct guest_call_request request = {.args = &args, .after = after};
    return guest_call_start(g, OPERATION_mkdir, &request, "mkdir \"%s\"", path);
}

int guest_mkdir(struct guest *g, const char *path, unsigned perm, bool parents, int64_t deadline,
                struct err *e)
{
    return await(guest_mkdir_start(g, 0, path, perm, parents), deadline, e);
}

struct guest_call *guest_unlink_start(struct guest *g, uint64_t after, const char *path)
{
    struct args_path args = {.path = bytes_str(path)};
    struct guest_call_request request = {.args = &args, .after = after};
    return guest_call_start(g, OPERATION_unlink, &request, "unlink \"%s\"", path);
}

int guest_unlink(struct guest *g, const char *path, int64_t deadline, struct err *e)
{
    return await(guest_unlink_start(g, 0, path), deadline, e);
}

struct guest_call *guest_rename_start(struct guest *g, uint64_t after, const char *from, const char *to)
{
    struct args_rename args = {.from = bytes_str(from), .to = bytes_str(to)};
    struct guest_call_request request = {.args = &args, .after = after};
    return guest_call_start(g, OPERATION_rename, &request, "rename \"%s\" -> \"%s\"", from, to);
}

int guest_rename(struct guest *g, const char *from, const char *to, int64_t deadline, struct err *e)
{
    return await(guest_rename_start(g, 0, from, to), deadline, e);
}
