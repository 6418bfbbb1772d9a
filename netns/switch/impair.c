/* The pipeline of impairments, and the rules that drive it.
 *
 * A copy from one port to another meets at most four rules: that of the pair, of all the sender's
 * frames, of all the receiver's, and of the bridge. Chances of one kind are combined into one (1 -
 * the product of not happening), so that every frame of a pair uses one number of the pair's stream
 * of that kind and its fate depends on nothing that other pairs do. Chances are fractions of 2^32;
 * time and rates are integers.
 *
 * A rate is a serial queue that the rule owns: a frame leaves when all before it have been sent.
 * `charge` remembers the outcome for the frame at hand, so that a rule with an open receiver sees a
 * flooded frame once.
 *
 * Order within a pair is kept between two changes of rules: a frame is never due before its
 * predecessor. Reordered frames are the exception; where there is no latency to skip, one is parked
 * until its successor has passed, with a reminder in the heap for the case that none comes. */
#include "base/clock.h"
#include "switch/rule.h"

#define RULES_MAX      4
#define PARKED_NS      (10 * NS_PER_MS)
#define RATE_QUEUE_MIN 65536
#define RATE_QUEUE_DIV 40 /* 200 ms at the rate: rate / 8 / 5 bytes */

struct matching {
    struct rule *rules[RULES_MAX];
    unsigned count;
    int64_t latency, jitter;
    uint64_t loss, duplicate, reorder, corrupt;
    bool rated;
};

static uint64_t draw(const struct bridge *b, struct pair *pair, enum random_kind kind)
{
    if (!pair->seeded)
        pair_seed(pair, b->seed, b->ports[pair->from]->name, b->ports[pair->to]->name);
    return pair_draw(pair, kind);
}

/* 0 to `range` - 1, without bias worth speaking of. */
static uint64_t draw_below(const struct bridge *b, struct pair *pair, enum random_kind kind,
                           uint64_t range)
{
    return (uint64_t)((unsigned __int128)draw(b, pair, kind) * range >> 64);
}

/* Impossible events use no number. */
static bool happens(const struct bridge *b, struct pair *pair, enum random_kind kind, uint64_t p)
{
    return p && draw(b, pair, kind) >> 32 < p;
}

static uint64_t either(uint64_t p, uint64_t q)
{
    return CHANCE_ONE - ((CHANCE_ONE - p) * (unsigned __int128)(CHANCE_ONE - q) >> 32);
}

static void match(struct bridge *b, struct port *from, struct port *to, const struct pair *pair,
                  struct matching *m)
{
    struct rule *candidates[RULES_MAX] = {pair->rule, from->rule_out, to->rule_in, b->rule_all};
    *m = (struct matching){0};
    for (unsigned i = 0; i < RULES_MAX; i++) {
        struct rule *r = candidates[i];
        if (!r)
            continue;
        m->rules[m->count++] = r;
        m->latency += r->knobs.latency;
        m->jitter += r->knobs.jitter;
        m->loss = either(m->loss, r->loss);
        m->duplicate = either(m->duplicate, r->duplicate);
        m->reorder = either(m->reorder, r->reorder);
        m->corrupt = either(m->corrupt, r->corrupt);
        m->rated |= r->knobs.rate > 0;
    }
}

static bool rate_admits(const struct rule *r, uint32_t len, int64_t now)
{
    if (r->busy_until <= now)
        return true;
    uint64_t limit = r->knobs.rate / RATE_QUEUE_DIV;
    if (limit < RATE_QUEUE_MIN)
        limit = RATE_QUEUE_MIN;
    uint64_t waiting = (uint64_t)((unsigned __int128)(uint64_t)(r->busy_until - now) *
                                  r->knobs.rate / (8 * NS_PER_S));
    return waiting + len <= limit;
}

static int64_t rate_charge(struct rule *r, uint32_t len, int64_t now)
{
    if (r->busy_until < now) {
        r->busy_until = now;
        r->remainder = 0;
    }
    uint64_t work = (uint64_t)len * 8 * NS_PER_S + r->remainder;
    r->busy_until += (int64_t)(work / r->knobs.rate);
    r->remainder = work % r->knobs.rate;
    return r->busy_until;
}

/* When the copy has passed all rates; false: a queue is full. */
static bool rate_pass(struct bridge *b, const struct matching *m, unsigned copy, uint32_t len,
                      int64_t now, int64_t *departs)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct rule *r = m->rules[i];
        if (!r->knobs.rate)
            continue;
        bool charged = !r->to && r->charge[copy].serial == b->serial;
        if (charged ? !r->charge[copy].admitted : !rate_admits(r, len, now)) {
            r->charge[copy].serial = b->serial;
            r->charge[copy].admitted = false;
            return false;
        }
    }
    for (unsigned i = 0; i < m->count; i++) {
        struct rule *r = m->rules[i];
        if (!r->knobs.rate)
            continue;
        if (r->to || r->charge[copy].serial != b->serial) {
            r->charge[copy].serial = b->serial;
            r->charge[copy].admitted = true;
            r->charge[copy].departs = rate_charge(r, len, now);
        }
        if (r->charge[copy].departs > *departs)
            *departs = r->charge[copy].departs;
    }
    return true;
}

/* Now, or through the heap, which comes first if some of its frames are late. Takes over the
 * reference. */
static bool schedule(struct bridge *b, struct port *from, struct port *to, struct frame f,
                     int64_t due, int64_t now)
{
    if (due <= now && held_next(&b->held) > now) {
        bridge_deliver(b, from, to, f, now);
        frame_unref(f);
        return true;
    }
    if (b->held_bytes + f.len > HELD_BYTES_MAX) {
        b->stats.dropped_queue++;
        frame_unref(f);
        return false;
    }
    b->held_bytes += f.len;
    held_push(&b->held, due, f, from->id, to->id);
    return true;
}

static void park(struct bridge *b, struct pair *pair, struct frame f, int64_t until)
{
    if (b->held_bytes + f.len > HELD_BYTES_MAX) {
        b->stats.dropped_queue++;
        frame_unref(f);
        return;
    }
    b->held_bytes += f.len;
    pair->parked = f;
    pair->parked_reminder = held_push(&b->held, until, (struct frame){0}, pair->from, pair->to);
}

static struct frame unpark(struct bridge *b, struct pair *pair)
{
    struct frame f = pair->parked;
    b->held_bytes -= f.len;
    pair->parked = (struct frame){0};
    return f;
}

static struct frame corrupted(struct bridge *b, struct pair *pair, struct frame f)
{
    if (f.len == FRAME_MIN)
        return f;
    struct frame copy = frame_copy(f);
    frame_unref(f);
    uint64_t bit = draw_below(b, pair, RANDOM_CORRUPT, (copy.len - FRAME_MIN) * 8u);
    copy.data[FRAME_MIN + bit / 8] ^= (uint8_t)(1u << bit % 8);
    b->stats.corrupted++;
    return copy;
}

static int64_t delay(struct bridge *b, struct pair *pair, const struct matching *m)
{
    if (!m->jitter)
        return m->latency;
    uint64_t range = (uint64_t)m->jitter * 2 + 1;
    int64_t d = m->latency - m->jitter + (int64_t)draw_below(b, pair, RANDOM_JITTER, range);
    return d < 0 ? 0 : d;
}

/* From corruption on. Takes over the reference. */
static void send_copy(struct bridge *b, struct port *from, struct port *to, struct pair *pair,
                      const struct matching *m, unsigned copy, struct frame f, int64_t now)
{
    if (happens(b, pair, RANDOM_CORRUPT, m->corrupt))
        f = corrupted(b, pair, f);
    int64_t departs = now;
    if (m->rated && !rate_pass(b, m, copy, f.len, now, &departs)) {
        b->stats.dropped_queue++;
        frame_unref(f);
        return;
    }
    int64_t due = departs + delay(b, pair, m);
    if (happens(b, pair, RANDOM_REORDER, m->reorder)) {
        if (m->latency || m->jitter) {
            b->stats.reordered++;
            schedule(b, from, to, f, departs, now);
            return;
        }
        if (!pair->parked.slab) { /* else this one is a successor already */
            b->stats.reordered++;
            park(b, pair, f, departs + PARKED_NS);
            return;
        }
    }
    if (pair->generation == b->rules_generation && due < pair->last_due)
        due = pair->last_due;
    pair->generation = b->rules_generation;
    pair->last_due = due;
    if (schedule(b, from, to, f, due, now) && pair->parked.slab)
        schedule(b, from, to, unpark(b, pair), due, now);
}

void impair_copy(struct bridge *b, struct port *from, struct port *to, struct frame f, int64_t now)
{
    if (!b->rules) {
        bridge_deliver(b, from, to, f, now);
        return;
    }
    struct pair *pair = pairs_get(&b->pairs, from->id, to->id);
    struct matching m;
    match(b, from, to, pair, &m);
    if (happens(b, pair, RANDOM_LOSS, m.loss)) {
        b->stats.dropped_loss++;
        return;
    }
    bool twice = happens(b, pair, RANDOM_DUPLICATE, m.duplicate);
    uint64_t serial = b->serial;
    send_copy(b, from, to, pair, &m, 0, frame_ref(f), now);
    if (twice) {
        b->serial = serial;
        b->stats.duplicated++;
        send_copy(b, from, to, pair, &m, 1, frame_ref(f), now);
    }
}

void impair_due(struct bridge *b, struct held *h, int64_t now)
{
    struct port *from = b->ports[h->from], *to = b->ports[h->to];
    struct frame f = h->frame;
    if (f.slab) {
        b->held_bytes -= f.len;
    } else {
        struct pair *pair = pairs_find(&b->pairs, h->from, h->to);
        if (!pair->parked.slab || pair->parked_reminder != h->sequence)
            return; /* it followed its successor */
        f = unpark(b, pair);
    }
    if (bridge_passes(b, from, to))
        bridge_deliver(b, from, to, f, now);
    frame_unref(f);
}
