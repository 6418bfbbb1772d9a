/* The selection of tests, as workers get it. */
#pragma once

#include "cli/options.h"

/* --include-slow, --tag, --no-tag, --tag-meta and --no-tag-meta as the JSON map of lua/framework.lua; malloc'ed. */
char *filter_json(const struct options *options);
