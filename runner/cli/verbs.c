#include "cli/verb.h"

#include <string.h>

const struct verb verbs[] = {
    {NULL, VERB_RUN, "[PATH...]", -1, "run the test files (*.test.lua) below PATH", verb_run},
    {"list", VERB_LIST, "[PATH...]", -1, "print the test files that would run, or the fixtures, and run nothing",
     verb_list},
    {"repl", VERB_REPL, "[PROFILE]", 1, "boot a VM and take Lua from the prompt", verb_repl},
    {"console", VERB_CONSOLE, "PROFILE [-- QEMU-ARG...]", 1,
     "a guest's console on this terminal; Ctrl-A X ends it", verb_console},
    {"doctor", VERB_DOCTOR, "[PROFILE]", 1, "check this machine, and say how to fix what is amiss",
     verb_doctor},
    {"merge", VERB_MERGE, "RESULTS...", -1,
     "join the results of shards (events, JSON, JUnit, coverage) into the reports of one run",
     verb_merge},
    {"lsp-setup", VERB_LSP, "[DIR]", 1, "write the types of test files into DIR, for editors",
     verb_lsp_setup},
    {"prepare", VERB_PREPARE, "[PROFILE]", 1, "build and check profiles without booting them",
     verb_prepare},
    {"init", VERB_INIT, "[DIR]", 1, "write a first configuration, test and fixture", verb_init},
    {"completion", VERB_COMPLETION, "bash|zsh|fish", 1, "print a completion script for a shell", verb_completion},
    {"man", VERB_MAN, "", 0, "print the manual page", verb_man},
    {"fixture", VERB_FIXTURE, "list|build|rebuild|clean|stale [PATH]", 2, "look at the fixture cache, fill and empty it",
     verb_fixture},
};
const size_t verb_count = ARRAY_SIZE(verbs);

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < verb_count; i++)
        if (name && verbs[i].name ? !strcmp(name, verbs[i].name) : name == verbs[i].name)
            return &verbs[i];
    return NULL;
}
