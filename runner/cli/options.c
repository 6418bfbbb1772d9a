/* Parsing goes once over the words: flags are stored as they come, the rest are operands, and only
 * then is it known which command this is. So `provium --json list` works, and a flag that the
 * command does not take is refused by name instead of being ignored. */
#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/verb.h"
#include "config/values.h"

#define TIMEOUT_DEFAULT_NS (300 * INT64_C(1000000000)) /* per file */
#define OVERCOMMIT_MIN 0.5
#define OVERCOMMIT_MAX 8.0
#define ROWS_MAX       128
#define EXTRA_WORDS    "[-- QEMU-ARG...]" /* operands of a command whose words behind `--` are not its own */

struct parser {
    int argc, at;
    char **argv;
    struct options *options;
    bool given[ROWS_MAX];    /* by row */
    size_t flagged_operands; /* operands before `--` */
    bool ended;              /* by `--` */
};

static int find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (strlen(option_rows[i].name) == length && !memcmp(option_rows[i].name, name, length))
            return (int)i;
    return -1;
}

static int find_letter(char letter)
{
    for (size_t i = 0; i < option_row_count; i++)
        if (option_rows[i].letter == letter)
            return (int)i;
    return -1;
}

static int unknown_flag(const char *flag, size_t length, struct err *e)
{
    const char *names[ROWS_MAX];
    _cleanup_free_ char *name = xstrndup(flag, length);
    for (size_t i = 0; i < option_row_count; i++)
        names[i] = option_rows[i].name;
    const char *nearest = length > 2 ? str_nearest(name + 2, names, option_row_count) : NULL;
    err_set(e, EINVAL, "unknown flag `%s`", name);
    if (nearest)
        return err_hint(e, "did you mean `--%s`?", nearest);
    return err_hint(e, "`provium --help` lists the flags");
}

static int parse_count(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *ret,
                       struct err *e)
{
    char *end;
    errno = 0;
    unsigned long long value = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    if (*text < '0' || *text > '9' || *end || errno || value < minimum || value > maximum)
        return err_set(e, EINVAL,
                       "invalid value `%s`, expected a whole number from %" PRIu64 " to %" PRIu64,
                       text, minimum, maximum);
    *ret = value;
    return 0;
}

static int parse_factor(const char *text, double *ret, struct err *e)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value > 0))
        return err_set(e, EINVAL, "invalid value `%s`, expected a number such as 1.5", text);
    *ret = value < OVERCOMMIT_MIN   ? OVERCOMMIT_MIN
           : value > OVERCOMMIT_MAX ? OVERCOMMIT_MAX
                                    : value;
    return 0;
}

static int parse_percent(const char *text, double *ret, struct err *e)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= 0 && value <= 100))
        return err_set(e, EINVAL, "invalid value `%s`, expected a number from 0 to 100", text);
    *ret = value;
    return 0;
}

/* "2/4" */
static int parse_shard(const char *text, struct shard *ret, struct err *e)
{
    unsigned index, count;
    int end = 0;
    if (sscanf(text, "%5u/%5u%n", &index, &count, &end) != 2 || text[end] || !count || !index || index > count ||
        strpbrk(text, "+- "))
        return err_set(e, EINVAL, "invalid value `%s`, expected I/N with I from 1 to N", text);
    *ret = (struct shard){index, count};
    return 0;
}

static int store(const struct option_row *row, struct options *options, const char *value,
                 struct err *e)
{
    void *field = (char *)options + row->offset;
    uint64_t number = 0;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return 0;
    case OPTION_TEXT:
        if (!*value)
            return err_set(e, EINVAL, "empty value");
        free(*(char **)field);
        *(char **)field = xstrdup(value);
        return 0;
    case OPTION_PAIRS:
        if (!strchr(value, '=') || *value == '=')
            return err_set(e, EINVAL, "invalid value `%s`, expected K=V", value);
        __attribute__((fallthrough));
    case OPTION_TEXTS:
        strv_add(field, value);
        return 0;
    case OPTION_SIZE:
        if (size_parse(value, &number, e) < 0)
            return -1;
        if (!number)
            return err_set(e, EINVAL, "invalid size `%s`, must not be 0", value);
        *(uint64_t *)field = number;
        return 0;
    case OPTION_DURATION:
        return duration_parse(value, field, e);
    case OPTION_COUNT:
        if (parse_count(value, 1, 1000000, &number, e) < 0)
            return -1;
        *(unsigned *)field = (unsigned)number;
        return 0;
    case OPTION_NUMBER:
        if (parse_count(value, 0, 1000000, &number, e) < 0)
            return -1;
        *(unsigned *)field = (unsigned)number;
        return 0;
    case OPTION_PERCENT:
        return parse_percent(value, field, e);
    case OPTION_SHARD:
        return parse_shard(value, field, e);
    case OPTION_SEED:
        options->seed_given = true;
        return parse_count(value, 0, UINT64_MAX, field, e);
    case OPTION_FACTOR:
        return parse_factor(value, field, e);
    case OPTION_WORD:
    case OPTION_CHOICE:
        return word_parse(value, row->words, field, e);
    }
    return 0;
}

/* `attached` is the value that came with the flag, or NULL: the next word is taken when one is
 * needed. */
static int take_option(struct parser *p, size_t index, const char *attached, struct err *e)
{
    const struct option_row *row = &option_rows[index];
    p->given[index] = true;
    if (!row->value && attached)
        return err_set(e, EINVAL, "--%s takes no value", row->name);
    if (row->kind == OPTION_CHOICE && !attached)
        attached = row->words[0];
    if (row->value && !attached) {
        if (p->at >= p->argc)
            return err_set(e, EINVAL, "--%s needs a value: --%s %s", row->name, row->name,
                           row->value);
        attached = p->argv[p->at++];
    }
    if (store(row, p->options, attached, e) < 0)
        return err_prefix(e, "--%s", row->name);
    return 0;
}

static int take_long(struct parser *p, const char *word, struct err *e)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    int index = find_row(word + 2, length - 2);
    if (index < 0)
        return unknown_flag(word, length, e);
    return take_option(p, (size_t)index, equals ? equals + 1 : NULL, e);
}

/* "-v", "-vj4", "-j 4", "-j=4" */
static int take_short(struct parser *p, const char *word, struct err *e)
{
    for (const char *letter = word + 1; *letter; letter++) {
        int index = find_letter(*letter);
        if (index < 0) {
            char flag[] = {'-', *letter, '\0'};
            return unknown_flag(flag, 2, e);
        }
        if (!option_rows[index].value) {
            if (take_option(p, (size_t)index, NULL, e) < 0)
                return -1;
            continue;
        }
        const char *rest = letter[1] == '=' ? letter + 2 : letter + 1;
        return take_option(p, (size_t)index, letter[1] ? rest : NULL, e);
    }
    return 0;
}

static int take_words(struct parser *p, struct err *e)
{
    bool flags = true;
    while (p->at < p->argc) {
        const char *word = p->argv[p->at++];
        int rc = 0;
        if (flags && !strcmp(word, "--"))
            flags = !(p->ended = true);
        else if (flags && str_starts_with(word, "--"))
            rc = take_long(p, word, e);
        else if (flags && *word == '-' && word[1])
            rc = take_short(p, word, e);
        else
            strv_add(&p->options->operands, word);
        if (rc < 0)
            return -1;
        if (flags)
            p->flagged_operands = p->options->operands.count;
    }
    return 0;
}

/* The first operand names the command, unless it follows `--`. */
static void take_verb(struct parser *p)
{
    struct strv *operands = &p->options->operands;
    p->options->verb = verb_find(NULL);
    const struct verb *named = p->flagged_operands ? verb_find(operands->items[0]) : NULL;
    if (!named)
        return;
    p->options->verb = named;
    free(operands->items[0]);
    memmove(operands->items, operands->items + 1, operands->count * sizeof(char *));
    operands->count--;
    p->flagged_operands--;
    if (!p->ended || !str_ends_with(named->operands, EXTRA_WORDS))
        return;
    for (size_t i = p->flagged_operands; i < operands->count; i++)
        strv_take(&p->options->extra, operands->items[i]);
    operands->count = p->flagged_operands;
    operands->items[operands->count] = NULL;
}

static int check_combination(const struct parser *p, struct err *e)
{
    const struct verb *verb = p->options->verb;
    for (size_t i = 0; i < option_row_count; i++)
        if (p->given[i] && !(option_rows[i].verbs & verb->bit))
            return err_set(e, EINVAL, "--%s does not apply to `provium%s%s`", option_rows[i].name,
                           verb->name ? " " : "", verb->name ? verb->name : "");
    for (size_t i = 0; i < option_conflict_count; i++) {
        const char *a = option_conflicts[i][0], *b = option_conflicts[i][1];
        if (p->given[find_row(a, strlen(a))] && p->given[find_row(b, strlen(b))])
            return err_set(e, EINVAL, "--%s and --%s contradict each other", a, b);
    }
    if (verb->operand_max >= 0 && p->options->operands.count > (size_t)verb->operand_max)
        return err_set(e, EINVAL, "`provium %s` does not take `%s`", verb->name,
                       p->options->operands.items[verb->operand_max]);
    return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
    _cleanup_(options_done) struct options options = {
        .cpu_overcommit = 1.0, .timeout_ns = TIMEOUT_DEFAULT_NS, .accel = -1, .sandbox = -1, .ahead = -1, .shuffle = -1,
        .repeat = 1, .shard = {1, 1}, .psi_threshold = -1};
    struct parser p = {.argc = argc, .argv = argv, .options = &options};
    if (take_words(&p, e) < 0)
        return -1;
    take_verb(&p);
    if (!options.help && !options.version && check_combination(&p, e) < 0)
        return -1;
    *ret = options;
    options = (struct options){0};
    return 0;
}

void options_done(struct options *o)
{
    struct strv *lists[] = {&o->operands,    &o->tags,    &o->no_tags, &o->tag_meta, &o->extra,
                            &o->no_tag_meta, &o->kernels, &o->initrds, &o->appends};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        strv_done(lists[i]);
    char *texts[] = {o->config, o->filter,      o->qemu,          o->since, o->durations, o->junit,
                     o->html,   o->save_events, o->events_socket, o->merged_events, o->name,  o->fixture,   o->kernel_cmdline};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    *o = (struct options){0};
}
