/* A switch with a raw bridge, and three ports on it: the state of a test. */
#pragma once

#include "switch_lab.h"

struct lab {
    struct netswitch *s;
    struct bridge *b;
    struct port *p[3];
};

/* Nobody's MAC is known. */
static inline int setup_strangers(void **state)
{
    struct lab *l = xnew0(struct lab);
    l->s = switch_new(1);
    l->b = lab_bridge(l->s, "lan", true);
    l->p[0] = lab_port(l->b, "a");
    l->p[1] = lab_port(l->b, "b");
    l->p[2] = lab_port(l->b, "c");
    *state = l;
    return 0;
}

/* All are known. */
static inline int setup_neighbours(void **state)
{
    setup_strangers(state);
    struct lab *l = *state;
    lab_learn(l->p, 3, 0);
    return 0;
}

static inline int teardown(void **state)
{
    struct lab *l = *state;
    switch_free(l->s);
    free(l);
    return 0;
}
