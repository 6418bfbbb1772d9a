/* The texts of --help. Commands and flags come from their tables. */
#include "cli/help.h"

#include <string.h>

#include "base/alloc.h"
#include "snapshot/snapshot_file.h"
#include "wire/message.h"

#define FLAG_COLUMN 34

static const char examples[] =
    "Start here:\n"
    "  provium doctor                    what works on this machine, and how to fix what does not\n"
    "  provium tests/                    run everything below tests/\n"
    "  provium tests/net/dhcp.test.lua -v   one file, every test shown\n"
    "  provium tests/ --kernel bzImage   the same tests on a kernel of yours\n"
    "  provium list tests/ --filter net  what would run\n";

static const char endings[] =
    "Exit codes: 0 everything passed, 1 something failed, 2 it could not run (usage, "
    "configuration, host),\n  129, 130, 143 interrupted.\n";

static const char *const group_titles[] = {
    [GROUP_SELECTION] = "What to run",
    [GROUP_RESOURCES] = "How to run it",
    [GROUP_OUTPUT] = "Output",
    [GROUP_GENERAL] = "General",
};

const char *help_group_title(enum option_group group)
{
    return group_titles[group];
}

static void print_row(FILE *out, const struct option_row *row)
{
    char letter[] = {'-', row->letter, ',', ' ', '\0'};
    _cleanup_free_ char *flag = xasprintf("  %s--%s%s%s%s", row->letter ? letter : "", row->name,
                                          !row->value                   ? ""
                                          : row->kind == OPTION_CHOICE ? "[="
                                                                       : " ", row->value ? row->value : "", row->kind == OPTION_CHOICE ? "]" : "");
    if (strlen(flag) < FLAG_COLUMN)
        fprintf(out, "%-*s%s\n", FLAG_COLUMN, flag, row->help);
    else
        fprintf(out, "%s\n%*s%s\n", flag, FLAG_COLUMN, "", row->help);
}

static void print_flags(FILE *out, const struct verb *verb)
{
    for (int group = 0; group < GROUP_COUNT; group++) {
        bool titled = false;
        for (size_t i = 0; i < option_row_count; i++) {
            if ((int)option_rows[i].group != group || !(option_rows[i].verbs & verb->bit))
                continue;
            if (!titled)
                fprintf(out, "\n%s:\n", group_titles[group]);
            titled = true;
            print_row(out, &option_rows[i]);
        }
    }
}

static void print_overview(FILE *out)
{
    fputs("Run Lua test suites on real kernels, in QEMU guests, without root.\n\n"
          "Usage: provium [PATH...] [FLAGS]\n"
          "       provium COMMAND ...\n\n"
          "Without PATH the `roots` of provium.toml are run, else the current directory.\n\n",
          out);
    fputs(examples, out);
    fputs("\nCommands (`provium COMMAND --help` says more; ./list names a path):\n", out);
    for (size_t i = 0; i < verb_count; i++)
        if (verbs[i].name) {
            _cleanup_free_ char *usage = xasprintf("%s %s", verbs[i].name, verbs[i].operands);
            if (strlen(usage) < FLAG_COLUMN - 2)
                fprintf(out, "  %-*s%s\n", FLAG_COLUMN - 2, usage, verbs[i].summary);
            else
                fprintf(out, "  %s\n%*s%s\n", usage, FLAG_COLUMN, "", verbs[i].summary);
        }
}

void help_print(FILE *out, const struct verb *verb)
{
    if (verb->name)
        fprintf(out, "Usage: provium %s%s%s [FLAGS]\n\n%c%s.\n", verb->name,
                *verb->operands ? " " : "", verb->operands, verb->summary[0] & ~0x20,
                verb->summary + 1);
    else
        print_overview(out);
    print_flags(out, verb);
    fprintf(out, "\n%s", endings);
}

void version_print(FILE *out)
{
    fprintf(out, "provium %s\nprotocol %d\nsnapshot format %d\n", PROVIUM_VERSION, PROTOCOL_VERSION, SNAPSHOT_FORMAT);
}
