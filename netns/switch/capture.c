/* The buffer is a chain of chunks, so that it costs what is in it and draining never moves bytes.
 */
#include "switch/capture.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "switch/core.h"
#include "switch/filter.h"

#define CHUNK_SIZE      65536
#define MAGIC_US        0xa1b2c3d4u
#define MAGIC_NS        0xa1b23c4du
#define LINKTYPE_EN10MB 1

struct chunk {
    struct chunk *next;
    uint32_t start, end;
    uint8_t bytes[CHUNK_SIZE];
};

struct capture {
    struct netswitch *owner;
    struct capture *next_all; /* in the switch's list */
    struct capture *next;     /* in its bridge's or port's list */
    struct bridge *bridge;    /* NULL once it has ended */
    struct port *port;
    uint32_t id;
    enum capture_point point;
    bool nanoseconds;
    struct filter *filter;
    struct capture_stats stats;
    struct chunk *first, *last;
    size_t buffered;
    void *connection;
};

static void append(struct capture *c, const void *p, size_t n)
{
    const uint8_t *from = p;
    c->buffered += n;
    while (n) {
        if (!c->last || c->last->end == CHUNK_SIZE) {
            struct chunk *chunk = xmalloc(sizeof(*chunk));
            chunk->next = NULL;
            chunk->start = chunk->end = 0;
            *(c->last ? &c->last->next : &c->first) = chunk;
            c->last = chunk;
        }
        size_t room = CHUNK_SIZE - c->last->end, part = n < room ? n : room;
        memcpy(c->last->bytes + c->last->end, from, part);
        c->last->end += (uint32_t)part;
        from += part;
        n -= part;
    }
}

/* The format is that of pcap-savefile(5), little-endian. */
static void append_file_header(struct capture *c)
{
    struct {
        uint32_t magic;
        uint16_t major, minor;
        uint32_t zone, accuracy, snaplen, linktype;
    } header = {
        .magic = htole32(c->nanoseconds ? MAGIC_NS : MAGIC_US),
        .major = htole16(2),
        .minor = htole16(4),
        .snaplen = htole32(CAPTURE_SNAPLEN),
        .linktype = htole32(LINKTYPE_EN10MB),
    };
    append(c, &header, sizeof(header));
}

static void append_record(struct capture *c, struct frame f, int64_t now)
{
    int64_t wall = now + c->owner->wall_offset, fraction = wall % NS_PER_S;
    uint32_t header[4] = {
        htole32((uint32_t)(wall / NS_PER_S)),
        htole32((uint32_t)(c->nanoseconds ? fraction : fraction / 1000)),
        htole32(f.len),
        htole32(f.len),
    };
    if (c->filter && !filter_matches(c->filter, f.data, f.len))
        return;
    if (c->buffered + sizeof(header) + f.len > CAPTURE_BUFFER_MAX) {
        c->stats.dropped++;
        return;
    }
    append(c, header, sizeof(header));
    append(c, f.data, f.len);
    c->stats.packets++;
    c->stats.bytes += f.len;
}

void capture_record(struct capture *list, enum capture_point point, struct frame f, int64_t now)
{
    for (struct capture *c = list; c; c = c->next)
        if (c->point == point)
            append_record(c, f, now);
}

static struct capture **own_list(const struct capture *c)
{
    return c->port ? &c->port->captures : &c->bridge->captures;
}

struct capture *capture_new(struct bridge *b, struct port *port,
                            const struct capture_options *options, struct err *e)
{
    struct filter *filter = NULL;
    if (options->filter && !(filter = filter_compile(options->filter, e)))
        return NULL;
    struct capture *c = xnew0(struct capture);
    c->owner = b->owner;
    c->bridge = b;
    c->port = port;
    c->id = ++b->owner->next_capture;
    c->point = port ? CAPTURE_NIC : options->delivered ? CAPTURE_DELIVERED : CAPTURE_SENT;
    c->nanoseconds = options->nanoseconds;
    c->filter = filter;
    c->next_all = b->owner->captures;
    b->owner->captures = c;
    c->next = *own_list(c);
    *own_list(c) = c;
    append_file_header(c);
    return c;
}

struct capture *switch_next_capture(const struct netswitch *s, struct capture *c)
{
    return c ? c->next_all : s->captures;
}

struct capture *switch_capture(const struct netswitch *s, uint32_t id)
{
    struct capture *c = s->captures;
    while (c && c->id != id)
        c = c->next_all;
    return c;
}

uint32_t capture_id(const struct capture *c)
{
    return c->id;
}

void capture_describe(const struct capture *c, struct capture_stats *ret)
{
    *ret = c->stats;
}

void capture_end(struct capture *c)
{
    if (!c->bridge)
        return;
    struct capture **at = own_list(c);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->bridge = NULL;
    c->port = NULL;
}

bool capture_is_ended(const struct capture *c)
{
    return !c->bridge;
}

void captures_end(struct capture *list)
{
    for (struct capture *next; list; list = next) {
        next = list->next;
        capture_end(list);
    }
}

void capture_free(struct capture *c)
{
    capture_end(c);
    struct capture **at = &c->owner->captures;
    while (*at != c)
        at = &(*at)->next_all;
    *at = c->next_all;
    capture_consume(c, c->buffered);
    free(c->first);
    filter_free(c->filter);
    free(c);
}

unsigned capture_peek(const struct capture *c, struct iovec *pieces, unsigned max)
{
    unsigned n = 0;
    for (struct chunk *chunk = c->first; chunk && n < max; chunk = chunk->next)
        if (chunk->end > chunk->start)
            pieces[n++] = (struct iovec){.iov_base = chunk->bytes + chunk->start,
                                         .iov_len = chunk->end - chunk->start};
    return n;
}

void capture_consume(struct capture *c, size_t n)
{
    c->buffered -= n;
    while (n) {
        struct chunk *chunk = c->first;
        size_t here = chunk->end - chunk->start, part = n < here ? n : here;
        chunk->start += (uint32_t)part;
        n -= part;
        if (chunk->start < chunk->end)
            break;
        if (!chunk->next) { /* keep the last one for what comes next */
            chunk->start = chunk->end = 0;
            break;
        }
        c->first = chunk->next;
        free(chunk);
    }
}

void **capture_connection(struct capture *c)
{
    return &c->connection;
}
