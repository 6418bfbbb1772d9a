#include "users.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

#define FILE_MAX   (4 * 1024 * 1024)
#define FIELDS_MAX 7

/* Takes the next line of `text` apart at colons, in place; missing fields are empty. False at the end. */
static bool next_entry(char **text, const char *fields[FIELDS_MAX])
{
    char *line = strsep(text, "\n");
    if (!line)
        return false;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        fields[i] = strsep(&line, ":");
        if (!fields[i])
            fields[i] = "";
    }
    return true;
}

/* The file as a string; an unreadable one is empty. malloc'ed. */
static char *load(const char *path)
{
    _cleanup_buf_ struct buf b = BUF_INIT(FILE_MAX);
    file_read(path, &b, NULL);
    return buf_steal_str(&b);
}

static bool parse_id(const char *s, unsigned *ret)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(s, &end, 10);
    if (errno || *end || end == s || *s < '0' || *s > '9' || n >= UINT32_MAX)
        return false;
    *ret = (unsigned)n;
    return true;
}

/* Looks `who`, a name or number, up in a database whose third field is the number. `ret_fields` borrow from `text`. */
static bool look_up(char *text, const char *who, unsigned *ret_id, const char *ret_fields[FIELDS_MAX])
{
    unsigned wanted = 0, id;
    bool numeric = parse_id(who, &wanted);
    while (next_entry(&text, ret_fields)) {
        if (!parse_id(ret_fields[2], &id))
            continue;
        if (numeric ? id == wanted : !strcmp(ret_fields[0], who)) {
            *ret_id = id;
            return true;
        }
    }
    ret_fields[0] = NULL;
    *ret_id = wanted;
    return numeric;
}

static int resolve_group(const char *who, gid_t *ret, char *why, size_t why_size)
{
    const char *fields[FIELDS_MAX];
    _cleanup_free_ char *text = load("/etc/group");
    if (look_up(text, who, ret, fields))
        return 0;
    snprintf(why, why_size, "unknown group `%s`", who);
    return -1;
}

static void add_group(struct identity *id, gid_t gid)
{
    for (size_t i = 0; i < id->group_count; i++)
        if (id->groups[i] == gid)
            return;
    if (id->group_count < IDENTITY_GROUPS_MAX)
        id->groups[id->group_count++] = gid;
}

static void add_groups_of(struct identity *id, const char *user)
{
    const char *fields[FIELDS_MAX];
    _cleanup_free_ char *text = load("/etc/group");
    for (char *at = text; next_entry(&at, fields);) {
        unsigned gid;
        char *members = (char *)fields[3], *member;
        if (!parse_id(fields[2], &gid))
            continue;
        while ((member = strsep(&members, ",")))
            if (!strcmp(member, user))
                add_group(id, gid);
    }
}

int users_resolve(const char *user, const char *group, char *const *groups, size_t group_count,
                  bool groups_given, struct identity *ret, char *why, size_t why_size)
{
    struct identity id = {.set_groups = user || groups_given};
    if (group_count > IDENTITY_GROUPS_MAX) {
        snprintf(why, why_size, "more than %d groups", IDENTITY_GROUPS_MAX);
        return -1;
    }
    if (user) {
        const char *fields[FIELDS_MAX];
        _cleanup_free_ char *text = load("/etc/passwd");
        if (!look_up(text, user, &id.uid, fields)) {
            snprintf(why, why_size, "unknown user `%s`", user);
            return -1;
        }
        id.set_uid = id.set_gid = true;
        if (!fields[0] || !parse_id(fields[3], &id.gid))
            id.gid = id.uid;
        if (fields[0] && !groups_given) {
            add_group(&id, id.gid);
            add_groups_of(&id, fields[0]);
        }
    }
    if (group) {
        id.set_gid = true;
        if (resolve_group(group, &id.gid, why, why_size) < 0)
            return -1;
    }
    for (size_t i = 0; i < group_count; i++) {
        gid_t gid;
        if (resolve_group(groups[i], &gid, why, why_size) < 0)
            return -1;
        add_group(&id, gid);
    }
    *ret = id;
    return 0;
}
