/* The guest's user database: /etc/passwd and /etc/group, read without any name service. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define IDENTITY_GROUPS_MAX 256

struct identity {
    bool set_uid, set_gid, set_groups;
    uid_t uid;
    gid_t gid;
    size_t group_count;
    gid_t groups[IDENTITY_GROUPS_MAX];
};

/* What `user` and `group` (names or numbers, NULL: not given) and the list of groups (if `groups_given`) stand for. A
 * user brings its primary group (the same number for a user that is not listed) and its supplementary groups.
 * -1 with a reason for an unknown name. */
int users_resolve(const char *user, const char *group, char *const *groups, size_t group_count,
                  bool groups_given, struct identity *ret, char *why, size_t why_size);
