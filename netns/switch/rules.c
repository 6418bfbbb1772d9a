/* The rules of a bridge: one list in the order of creation, and a pointer where the pipeline looks
 * for each (the pair, the sender, the receiver, the bridge). A rule without knobs goes. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/rule.h"

static struct rule **rule_slot(struct bridge *b, struct port *from, struct port *to)
{
    if (from && to)
        return &pairs_get(&b->pairs, from->id, to->id)->rule;
    return from ? &from->rule_out : to ? &to->rule_in : &b->rule_all;
}

static void rule_remove(struct bridge *b, struct rule *r)
{
    struct rule **at = &b->rules;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (!*at)
        b->rules_tail = at;
    *rule_slot(b, r->from, r->to) = NULL;
    free(r);
}

static struct rule *rule_add(struct bridge *b, struct port *from, struct port *to)
{
    struct rule *r = xnew0(struct rule);
    r->from = from;
    r->to = to;
    *b->rules_tail = r;
    b->rules_tail = &r->next;
    *rule_slot(b, from, to) = r;
    return r;
}

static uint64_t chance(double percent)
{
    return (uint64_t)(percent / 100 * (double)CHANCE_ONE + 0.5);
}

static int check_percent(const char *name, double value, struct err *e)
{
    if (value >= 0 && value <= 100)
        return 0;
    return err_set(e, EINVAL, "%s must be 0 to 100 percent, not %g", name, value);
}

static int check(const struct impairment *c, struct err *e)
{
    if (c->set & IMPAIR_LATENCY && c->latency < 0)
        return err_set(e, EINVAL, "latency must not be negative");
    if (c->set & IMPAIR_JITTER && c->jitter < 0)
        return err_set(e, EINVAL, "jitter must not be negative");
    if (c->set & (IMPAIR_LATENCY | IMPAIR_JITTER) &&
        (c->latency > IMPAIR_TIME_MAX || c->jitter > IMPAIR_TIME_MAX))
        return err_set(e, EINVAL, "latency and jitter must be at most an hour");
    if (c->set & IMPAIR_RATE && c->rate > IMPAIR_RATE_MAX)
        return err_set(e, EINVAL, "rate must be at most 1 Tbit/s");
    if ((c->set & IMPAIR_LOSS && check_percent("loss", c->loss, e) < 0) ||
        (c->set & IMPAIR_DUPLICATE && check_percent("duplicate", c->duplicate, e) < 0) ||
        (c->set & IMPAIR_REORDER && check_percent("reorder", c->reorder, e) < 0) ||
        (c->set & IMPAIR_CORRUPT && check_percent("corrupt", c->corrupt, e) < 0))
        return -1;
    if (c->from && c->to && !strcmp(c->from, c->to))
        return err_set(e, EINVAL, "from and to are both `%s`", c->from);
    return 0;
}

static void set_knobs(struct rule *r, const struct impairment *c)
{
    struct impairment *k = &r->knobs;
#define SET(flag, field)                                                                           \
    if (c->set & (flag)) {                                                                         \
        k->field = c->field;                                                                       \
        k->set = k->field > 0 ? k->set | (flag) : k->set & ~(unsigned)(flag);                      \
    }
    SET(IMPAIR_LATENCY, latency)
    SET(IMPAIR_JITTER, jitter)
    SET(IMPAIR_LOSS, loss)
    SET(IMPAIR_DUPLICATE, duplicate)
    SET(IMPAIR_REORDER, reorder)
    SET(IMPAIR_CORRUPT, corrupt)
    SET(IMPAIR_RATE, rate)
#undef SET
    r->loss = chance(k->loss);
    r->duplicate = chance(k->duplicate);
    r->reorder = chance(k->reorder);
    r->corrupt = chance(k->corrupt);
    if (c->set & IMPAIR_RATE) {
        r->busy_until = 0;
        r->remainder = 0;
    }
}

int impair_set(struct bridge *b, const struct impairment *change, struct err *e)
{
    struct port *from = NULL, *to = NULL;
    if (check(change, e) < 0)
        return -1;
    if (change->from && !(from = bridge_endpoint(b, change->from, e)))
        return -1;
    if (change->to && !(to = bridge_endpoint(b, change->to, e)))
        return -1;
    struct rule *r = *rule_slot(b, from, to);
    if (!r)
        r = rule_add(b, from, to);
    set_knobs(r, change);
    if (!r->knobs.set)
        rule_remove(b, r);
    b->rules_generation++;
    bridge_update_shaped(b);
    return 0;
}

int impair_get(const struct bridge *b, size_t i, struct impairment *ret)
{
    const struct rule *r = b->rules;
    while (r && i--)
        r = r->next;
    if (!r)
        return -1;
    *ret = r->knobs;
    ret->from = r->from ? r->from->name : NULL;
    ret->to = r->to ? r->to->name : NULL;
    return 0;
}

void impair_forget_port(struct bridge *b, struct port *p)
{
    for (struct rule *r = b->rules, *next; r; r = next) {
        next = r->next;
        if (r->from == p || r->to == p)
            rule_remove(b, r);
    }
    b->rules_generation++;
    bridge_update_shaped(b);
}

void impair_done(struct bridge *b)
{
    while (b->rules)
        rule_remove(b, b->rules);
}

void impair_seed(struct bridge *b, const char *seed)
{
    char *copy = xstrdup(seed);
    free(b->seed);
    b->seed = copy;
    for (size_t i = 0; i < b->pairs.cap; i++)
        if (b->pairs.slots[i])
            b->pairs.slots[i]->seeded = false;
}

void impair_reset(struct bridge *b, int64_t now)
{
    impair_done(b);
    partition_clear(b);
    for (size_t i = 0; i < b->pairs.cap; i++)
        if (b->pairs.slots[i])
            b->pairs.slots[i]->seeded = false;
    b->rules_generation++;
    struct held h;
    while (held_pop(&b->held, INT64_MAX, &h))
        impair_due(b, &h, now);
}
