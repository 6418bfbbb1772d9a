/* The manual page, from the tables of commands and flags (man(7)). */
#include <stdio.h>
#include <string.h>

#include "cli/help.h"
#include "cli/verb.h"

/* A line that begins with a dot or quote would be a request; a backslash begins an escape, a dash is a hyphen. */
static void print(const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", stdout);
    for (; *s; s++) {
        if (*s == '\\')
            fputs("\\e", stdout);
        else if (*s == '-')
            fputs("\\-", stdout);
        else
            fputc(*s, stdout);
    }
}

static void print_flag(const struct option_row *row)
{
    fputs(".TP\n", stdout);
    if (row->letter)
        printf("\\fB\\-%c\\fR, ", row->letter);
    fputs("\\fB\\-\\-", stdout);
    print(row->name);
    fputs("\\fR", stdout);
    if (row->value) {
        fputs(row->kind == OPTION_CHOICE ? "[=\\fI" : " \\fI", stdout);
        print(row->value);
        fputs(row->kind == OPTION_CHOICE ? "\\fR]" : "\\fR", stdout);
    }
    fputc('\n', stdout);
    print(row->help);
    fputs("\n", stdout);
}

/* Those of one group that `verb` takes and the commands of `but` do not. */
static void print_flags(const struct verb *verb, int group, unsigned but)
{
    for (size_t i = 0; i < option_row_count; i++)
        if ((int)option_rows[i].group == group && option_rows[i].verbs & verb->bit && !(option_rows[i].verbs & but))
            print_flag(&option_rows[i]);
}

static void print_run_flags(void)
{
    for (int group = 0; group < GROUP_COUNT; group++) {
        fputs(".SS ", stdout);
        print(help_group_title(group));
        fputc('\n', stdout);
        print_flags(verb_find(NULL), group, 0);
    }
}

static void print_commands(void)
{
    for (size_t i = 0; i < verb_count; i++) {
        const struct verb *verb = &verbs[i];
        if (!verb->name)
            continue;
        fputs(".SS provium ", stdout);
        print(verb->name);
        printf("%s", *verb->operands ? " " : "");
        print(verb->operands);
        fputc('\n', stdout);
        printf("%c", verb->summary[0] & ~0x20);
        print(verb->summary + 1);
        fputs(".\n", stdout);
        for (int group = 0; group < GROUP_COUNT; group++)
            print_flags(verb, group, VERB_RUN); /* those of a run are told there */
    }
}

int verb_man(const struct options *options)
{
    static const char *const codes[][2] = {
        {"0", "every file passed or was skipped"},
        {"1", "a file failed, timed out or crashed; a check of doctor failed; the coverage report failed"},
        {"2", "it could not run, or an output could not be written"},
        {"129, 130, 143", "interrupted by SIGHUP, SIGINT, SIGTERM"}};
    (void)options;
    printf(".TH PROVIUM 1 \"\" \"provium %s\" \"User Commands\"\n", PROVIUM_VERSION);
    fputs(".SH NAME\nprovium \\- run Lua test suites on real kernels, in QEMU guests, without root\n"
          ".SH SYNOPSIS\n.B provium\n[\\fIPATH\\fR...] [\\fIFLAGS\\fR]\n.br\n.B provium\n\\fICOMMAND\\fR ...\n"
          ".SH DESCRIPTION\nRuns every test file (\\fI*.test.lua\\fR) below each \\fIPATH\\fR, each in a process of its own, "
          "as many at once as memory and CPUs allow. Without \\fIPATH\\fR the roots of provium.toml are taken, else the "
          "current directory. Flags and paths mix; after \\fB\\-\\-\\fR everything is a path.\n.SH FLAGS\n",
          stdout);
    print_run_flags();
    fputs(".SH COMMANDS\nThe first operand is a command if it is one of these; ./list names a path. Flags of a run "
          "that a command takes too are listed by \\fBprovium\\fR \\fICOMMAND\\fR \\fB\\-\\-help\\fR.\n",
          stdout);
    print_commands();
    fputs(".SH EXIT STATUS\n", stdout);
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        printf(".TP\n%s\n", codes[i][0]);
        print(codes[i][1]);
        fputc('\n', stdout);
    }
    fputs(".SH FILES\n.TP\n.I provium.toml\nthe configuration\n.TP\n.I $XDG_CACHE_HOME/provium\nfixtures, rerun.json, "
          "durations.json, repl_history\n.SH SEE ALSO\n.BR provium\\-coverage (1),\n.BR qemu\\-system\\-x86_64 (1)\n",
          stdout);
    return 0;
}
