/* Which test files a change concerns: itself, and those that name the changed file by literals, over any number of steps. */
#pragma once

#include "cli/select.h"
#include "config/config.h"

struct dependencies;

struct dependencies *dependencies_new(const struct selection *selection, const struct config *config);
void dependencies_free(struct dependencies *d);
DEFINE_CLEANUP(struct dependencies, dependencies_free)

/* Appends files that are used and not below a root: host files, and the config's own. */
void dependencies_add_paths(const struct dependencies *d, struct strv *out);
/* Whether the selection's file number `index` is to be run after these (changes_name) have changed. */
bool dependencies_affect(const struct dependencies *d, size_t index, const struct strv *changed);
