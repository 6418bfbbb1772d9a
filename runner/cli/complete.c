/* `provium completion SHELL` prints a script made from the tables of commands and flags. What only the project knows
 * (profiles, fixtures, snapshots) the script asks for when it is needed: `provium completion profiles` and so on. */
#include "cli/complete.h"

#include <string.h>

#include "base/alloc.h"
#include "cli/verb.h"

/* What a value is, by its name in the help. */
static const struct {
    const char *value, *names;
} named_values[] = {{"PROFILE", "profiles"}, {"[PROFILE]", "profiles"}, {"FIXTURE", "fixtures"}, {"REF", "snapshots"}};

static const char *names_for(const char *value)
{
    for (size_t i = 0; value && i < ARRAY_SIZE(named_values); i++)
        if (!strncmp(value, named_values[i].value, strlen(named_values[i].value)))
            return named_values[i].names;
    return NULL;
}

/* The words that a flag or an operand may have: a malloc'ed shell expression, or NULL for file names. */
static char *words_of(const struct option_row *row)
{
    _cleanup_strv_ struct strv words = STRV_INIT;
    const char *names = names_for(row->value);
    for (size_t i = 0; row->words && row->words[i]; i++)
        strv_add(&words, row->words[i]);
    if (names)
        return xasprintf("$(provium completion %s 2>/dev/null)", names);
    return words.count ? strv_join(&words, " ") : NULL;
}

/* The words that the operands of a command begin with: "list|build" or a name; NULL for file names. */
static char *operand_words(const struct verb *verb)
{
    const char *names = names_for(verb->operands);
    if (names)
        return xasprintf("$(provium completion %s 2>/dev/null)", names);
    size_t n = strcspn(verb->operands, " ");
    if (!memchr(verb->operands, '|', n))
        return NULL;
    char *words = xstrndup(verb->operands, n);
    for (char *c = words; *c; c++)
        *c = *c == '|' ? ' ' : *c;
    return words;
}

static bool is_path(const struct option_row *row)
{
    return row->value && (strstr(row->value, "PATH") || strstr(row->value, "FILE") || strstr(row->value, "DIR"));
}

static char *verb_names(const char *separator)
{
    _cleanup_strv_ struct strv names = STRV_INIT;
    for (size_t i = 0; i < verb_count; i++)
        if (verbs[i].name)
            strv_add(&names, verbs[i].name);
    return strv_join(&names, separator);
}

/* ------------------------------------------------------------------------------------------------- bash */

static void bash_flags(FILE *out, const struct verb *verb)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (option_rows[i].verbs & verb->bit)
            fprintf(out, " --%s", option_rows[i].name);
}

static void bash_script(FILE *out)
{
    _cleanup_free_ char *names = verb_names("|"), *first = verb_names(" ");
    fprintf(out,
            "# bash completion of provium. To use: source <(provium completion bash)\n"
            "_provium() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= words= word\n"
            "    if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
            "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
            "        case $word in %s) verb=$word; break ;; esac\n"
            "    done\n"
            "    case $prev in\n",
            names);
    for (size_t i = 0; i < option_row_count; i++) {
        _cleanup_free_ char *words = words_of(&option_rows[i]);
        if (words && option_rows[i].kind != OPTION_CHOICE)
            fprintf(out, "    --%s) words=\"%s\" ;;\n", option_rows[i].name, words);
        else if (option_rows[i].value && option_rows[i].kind != OPTION_CHOICE)
            fprintf(out, "    --%s) return ;;\n", option_rows[i].name);
    }
    fputs("    *)\n        if [[ $cur == -* ]]; then\n            case $verb in\n", out);
    for (size_t i = 0; i < verb_count; i++) {
        fprintf(out, "            %s) words=\"", verbs[i].name ? verbs[i].name : "''");
        bash_flags(out, &verbs[i]);
        fputs("\" ;;\n", out);
    }
    fputs("            esac\n        else\n            case $verb in\n", out);
    fprintf(out, "            '') words=\"%s\" ;;\n", first);
    for (size_t i = 0; i < verb_count; i++) {
        _cleanup_free_ char *words = operand_words(&verbs[i]);
        if (verbs[i].name && words)
            fprintf(out, "            %s) words=\"%s\" ;;\n", verbs[i].name, words);
    }
    fputs("            esac\n        fi ;;\n    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "}\n"
          "complete -o bashdefault -o default -F _provium provium\n",
          out);
}

/* ------------------------------------------------------------------------------------------------- zsh */

/* Text for an _arguments specification within single quotes. */
static void zsh_text(FILE *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *s))
            fprintf(out, "\\%c", *s);
        else
            fputc(*s, out);
    }
}

static void zsh_value(FILE *out, const struct option_row *row)
{
    const char *names = names_for(row->value);
    fputs(row->kind == OPTION_CHOICE ? "::" : ":", out);
    zsh_text(out, row->value);
    if (names) {
        fprintf(out, ":{compadd -- $(provium completion %s 2>/dev/null)}", names);
    } else if (row->words) {
        _cleanup_free_ char *words = words_of(row);
        fprintf(out, ":(%s)", words);
    } else {
        fputs(is_path(row) ? ":_files" : ": ", out);
    }
}

static void zsh_flags(FILE *out, const struct verb *verb)
{
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        bool many = row->kind == OPTION_TEXTS || row->kind == OPTION_PAIRS;
        if (!(row->verbs & verb->bit))
            continue;
        fprintf(out, " \\\n            '%s--%s%s[", many ? "*" : "", row->name, row->kind == OPTION_CHOICE ? "=-" : row->value ? "=" : "");
        zsh_text(out, row->help);
        fputs("]", out);
        if (row->value)
            zsh_value(out, row);
        fputs("'", out);
    }
}

static void zsh_script(FILE *out)
{
    _cleanup_free_ char *names = verb_names("|");
    fprintf(out,
            "#compdef provium\n# zsh completion of provium: as _provium in a directory of $fpath\n"
            "_provium() {\n"
            "    local verb= word\n"
            "    for word in \"${(@)words[2,CURRENT-1]}\"; do\n"
            "        case $word in %s) verb=$word; break ;; esac\n"
            "    done\n"
            "    case $verb in\n",
            names);
    for (size_t i = 0; i < verb_count; i++) {
        _cleanup_free_ char *operands = operand_words(&verbs[i]);
        fprintf(out, "    %s)\n        _arguments", verbs[i].name ? verbs[i].name : "''");
        zsh_flags(out, &verbs[i]);
        if (!verbs[i].name)
            fputs(" \\\n            '*:path or command:_provium_first' ;;\n", out);
        else if (operands)
            fprintf(out, " \\\n            '*:operand:{compadd -- %s}' ;;\n", operands);
        else
            fputs(" \\\n            '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\n_provium_first() {\n    local -a commands\n    commands=(\n", out);
    for (size_t i = 0; i < verb_count; i++)
        if (verbs[i].name) {
            fprintf(out, "        '%s:", verbs[i].name);
            zsh_text(out, verbs[i].summary);
            fputs("'\n", out);
        }
    fputs("    )\n    (( CURRENT == 2 )) && _describe command commands\n    _files\n}\n"
          "compdef _provium provium\n",
          out);
}

/* ------------------------------------------------------------------------------------------------- fish */

static void fish_text(FILE *out, const char *s)
{
    fputc('\'', out);
    for (; *s; s++)
        fprintf(out, strchr("'\\", *s) ? "\\%c" : "%c", *s);
    fputc('\'', out);
}

/* The commands that take a flag, as a condition; without one every command does. */
static void fish_condition(FILE *out, unsigned bits)
{
    _cleanup_strv_ struct strv with = STRV_INIT;
    bool run = bits & VERB_RUN, all = true;
    for (size_t i = 0; i < verb_count; i++) {
        if (verbs[i].name && bits & verbs[i].bit)
            strv_add(&with, verbs[i].name);
        all = all && bits & verbs[i].bit;
    }
    if (all)
        return;
    _cleanup_free_ char *names = strv_join(&with, " ");
    if (run && with.count)
        fprintf(out, " -n '__provium_runs; or __fish_seen_subcommand_from %s'", names);
    else if (run)
        fputs(" -n __provium_runs", out);
    else
        fprintf(out, " -n '__fish_seen_subcommand_from %s'", names);
}

static void fish_script(FILE *out)
{
    _cleanup_free_ char *names = verb_names(" ");
    fprintf(out,
            "# fish completion of provium: as provium.fish in ~/.config/fish/completions\n"
            "function __provium_runs\n    not __fish_seen_subcommand_from %s\nend\n",
            names);
    for (size_t i = 0; i < verb_count; i++) {
        if (!verbs[i].name)
            continue;
        fprintf(out, "complete -c provium -n __fish_is_first_token -a %s -d ", verbs[i].name);
        fish_text(out, verbs[i].summary);
        fputc('\n', out);
        _cleanup_free_ char *words = operand_words(&verbs[i]);
        if (words)
            fprintf(out, "complete -c provium -f -n '__fish_seen_subcommand_from %s' -a %s%s%s\n", verbs[i].name,
                    *words == '$' ? "'" : "\"", *words == '$' ? words + 1 : words, *words == '$' ? "'" : "\"");
    }
    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        _cleanup_free_ char *words = words_of(row);
        fprintf(out, "complete -c provium -l %s", row->name);
        if (row->letter)
            fprintf(out, " -s %c", row->letter);
        fish_condition(out, row->verbs);
        if (row->value && row->kind != OPTION_CHOICE)
            fputs(words ? " -x" : is_path(row) ? " -r -F" : " -x", out);
        if (words)
            fprintf(out, " -a '%s'", *words == '$' ? words + 1 : words);
        fputs(" -d ", out);
        fish_text(out, row->help);
        fputc('\n', out);
    }
}

bool completion_script(FILE *out, const char *shell)
{
    static const struct {
        const char *shell;
        void (*print)(FILE *);
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++)
        if (!strcmp(shell, scripts[i].shell)) {
            scripts[i].print(out);
            return true;
        }
    return false;
}
