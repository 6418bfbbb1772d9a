/* A script that is typed: the Lua side of `provium repl`. */
#pragma once

#include "base/strv.h"
#include "script/script.h"

enum repl_status { REPL_DONE, REPL_MORE, REPL_FAILED };

/* Prepares a script for the calls below. */
void repl_open(struct script *s);
/* Runs what was typed and prints the values of an expression. REPL_MORE: it is not finished. An interrupt (SIGINT,
 * SIGTERM) ends the call, not the script. */
enum repl_status repl_eval(struct script *s, const char *text, struct err *e);
/* Appends what a word may become. */
void repl_complete(struct script *s, const char *word, struct strv *out);
