/* From the options to a config and a list of files: what most commands begin with. */
#pragma once

#include "cli/options.h"
#include "config/config.h"
#include "pool/discover.h"

/* The environment with what the flags replace in it. */
struct environment *setup_environment(const struct options *options);
/* Loads the config and applies --kernel, --initrd, --append, --accel and --sandbox. */
struct config *setup_config(const struct options *options, const struct environment *env,
                            struct err *e);
/* The files that `options` select. Says a warning for what could not be looked into. */
int setup_files(const struct options *options, const struct config *config, struct discovery *ret,
                struct err *e);
