/* One profile of provium.toml: its keys and rules. Internal to the config library; users take
 * config.h. */
#pragma once

#include "config/config.h"
#include "config/schema.h"

void profile_init(struct profile *p, const char *name, const char *directory);
void profile_done(struct profile *p);
/* Fills an initialised profile from its table and reports everything wrong with it. */
void profile_read(struct profile *p, const struct schema_report *report,
                  const struct toml_value *table, const struct environment *env);
void profile_init_builtin(struct profile *p, const char *directory);
