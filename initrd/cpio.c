/* Reader and writer of newc archives.
 *
 * A member is a header of 110 ASCII bytes, the NUL-terminated name, and the data; name and data are each padded to
 * a multiple of 4 counted from the start of the archive. The member "TRAILER!!!" ends the archive.
 *
 * The reader is fed: it needs neither the whole archive nor a file, and keeps at most one header and one name
 * (4096 bytes). Whatever arrives, it either makes progress or fails; sizes are 32 bits wide and only ever counted
 * down. It is stricter than the kernel, which skips members it can't read: a damaged archive is an error here,
 * since a guest that lacks some of its files is worse than one that doesn't boot. */
#include "initrd/cpio.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

#define HEADER_SIZE 110
#define NAME_MAX_SIZE 4096 /* with its NUL */
#define TRAILER "TRAILER!!!"

enum state {
    BETWEEN, /* outside of an archive: the next byte starts one */
    HEADER,  /* gathering the header in `held` */
    NAME,    /* gathering name and padding in `held`, after the header's bytes */
    DATA,    /* passing `left` bytes on */
    PADDING, /* skipping `left` bytes */
};

struct cpio_reader {
    struct cpio_visitor visitor;
    enum state state;
    size_t want;   /* HEADER, NAME: bytes that `held` has to reach */
    size_t left;   /* DATA, PADDING */
    size_t held_size;
    uint32_t name_size;
    uint32_t checksum, expected_checksum;
    bool checked; /* the member carries a checksum ("crc" format, regular file) */
    struct cpio_entry entry;
    uint8_t held[HEADER_SIZE + NAME_MAX_SIZE + CPIO_ALIGN];
};

static size_t padding(size_t n)
{
    return -n & (CPIO_ALIGN - 1);
}

bool cpio_is_magic(const uint8_t *p, size_t n)
{
    return n >= CPIO_MAGIC_SIZE && !memcmp(p, "07070", 5) && (p[5] == '1' || p[5] == '2');
}

const char *cpio_name(const struct cpio_entry *entry)
{
    const char *name = entry->name;
    for (;;) {
        if (*name == '/')
            name++;
        else if (name[0] == '.' && name[1] == '/')
            name += 2;
        else
            return name;
    }
}

int cpio_append(struct buf *out, const struct cpio_entry *entry, const void *data)
{
    size_t name_size = strlen(entry->name) + 1;
    size_t name_padding = padding(HEADER_SIZE + name_size), data_padding = padding(entry->size);
    size_t total = HEADER_SIZE + name_size + name_padding + entry->size + data_padding;
    uint8_t *at = buf_reserve(out, total + 1); /* one for the NUL of snprintf */
    if (!at)
        return -1;
    snprintf((char *)at, HEADER_SIZE + 1, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
             entry->inode, entry->mode, entry->uid, entry->gid, entry->links, entry->mtime, entry->size,
             0u, 0u, entry->rdev_major, entry->rdev_minor, (unsigned)name_size, 0u);
    at += HEADER_SIZE;
    at = mempcpy(at, entry->name, name_size);
    memset(at, 0, name_padding);
    at += name_padding;
    if (data && entry->size)
        at = mempcpy(at, data, entry->size);
    memset(at, 0, data_padding);
    buf_commit(out, total);
    return 0;
}

int cpio_finish(struct buf *out)
{
    return cpio_append(out, &(struct cpio_entry){.name = TRAILER, .links = 1}, NULL);
}

struct cpio_reader *cpio_reader_new(const struct cpio_visitor *visitor)
{
    struct cpio_reader *r = xnew0(struct cpio_reader);
    if (visitor)
        r->visitor = *visitor;
    return r;
}

void cpio_reader_free(struct cpio_reader *r)
{
    free(r);
}

bool cpio_reader_between(const struct cpio_reader *r)
{
    return r->state == BETWEEN;
}

static int parse_hex(const uint8_t *p, uint32_t *ret)
{
    uint32_t value = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t c = p[i];
        if (c >= '0' && c <= '9')
            c -= '0';
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            c = (uint8_t)((c | 32) - 'a' + 10);
        else
            return -1;
        value = value << 4 | c;
    }
    *ret = value;
    return 0;
}

static int header_done(struct cpio_reader *r, struct err *e)
{
    uint32_t field[13];
    if (!cpio_is_magic(r->held, r->held_size))
        return err_set(e, EINVAL, "damaged cpio archive: no member where one should start");
    for (size_t i = 0; i < ARRAY_SIZE(field); i++)
        if (parse_hex(r->held + CPIO_MAGIC_SIZE + 8 * i, &field[i]) < 0)
            return err_set(e, EINVAL, "damaged cpio archive: a member's header has a field that is not a number");
    r->entry = (struct cpio_entry){.inode = field[0], .mode = field[1], .uid = field[2], .gid = field[3],
                                   .links = field[4], .mtime = field[5], .size = field[6],
                                   .rdev_major = field[9], .rdev_minor = field[10]};
    r->name_size = field[11];
    r->expected_checksum = field[12];
    r->checksum = 0;
    r->checked = r->held[5] == '2' && S_ISREG(r->entry.mode);
    if (r->name_size < 1 || r->name_size > NAME_MAX_SIZE)
        return err_set(e, EINVAL, "damaged cpio archive: a member's name has %u bytes", r->name_size);
    r->state = NAME;
    r->want = HEADER_SIZE + r->name_size + padding(HEADER_SIZE + r->name_size);
    return 0;
}

static void next_member(struct cpio_reader *r)
{
    r->state = HEADER;
    r->held_size = 0;
    r->want = HEADER_SIZE;
}

static int data_done(struct cpio_reader *r, struct err *e)
{
    if (r->checked && r->checksum != r->expected_checksum)
        return err_set(e, EINVAL, "damaged cpio archive: wrong checksum of `%s`", r->entry.name);
    r->left = padding(r->entry.size);
    r->state = PADDING;
    return 0;
}

static int name_done(struct cpio_reader *r, struct err *e)
{
    const char *name = (const char *)r->held + HEADER_SIZE;
    if (name[r->name_size - 1])
        return err_set(e, EINVAL, "damaged cpio archive: a member's name does not end");
    r->entry.name = name;
    if (!strcmp(name, TRAILER)) {
        r->state = BETWEEN;
        return 0;
    }
    if (r->visitor.entry && r->visitor.entry(r->visitor.arg, &r->entry, e) < 0)
        return -1;
    r->left = r->entry.size;
    r->state = DATA;
    return 0;
}

static int take_data(struct cpio_reader *r, const uint8_t *p, size_t n, struct err *e)
{
    if (r->checked)
        for (size_t i = 0; i < n; i++)
            r->checksum += p[i];
    r->left -= n;
    return n && r->visitor.data ? r->visitor.data(r->visitor.arg, p, n, e) : 0;
}

/* One step: takes at least one byte or changes the state. */
static int step(struct cpio_reader *r, const uint8_t *p, size_t n, size_t *ret_used, struct err *e)
{
    size_t take = n;
    switch (r->state) {
    case BETWEEN:
        next_member(r);
        *ret_used = 0;
        return 0;
    case HEADER:
    case NAME:
        if (take > r->want - r->held_size)
            take = r->want - r->held_size;
        memcpy(r->held + r->held_size, p, take);
        r->held_size += take;
        *ret_used = take;
        if (r->held_size < r->want)
            return 0;
        return r->state == HEADER ? header_done(r, e) : name_done(r, e);
    case DATA:
    case PADDING:
        if (take > r->left)
            take = r->left;
        *ret_used = take;
        if (r->state == PADDING)
            r->left -= take;
        else if (take_data(r, p, take, e) < 0)
            return -1;
        if (r->left)
            return 0;
        if (r->state == DATA)
            return data_done(r, e);
        next_member(r);
        return 0;
    }
    return 0;
}

int cpio_reader_feed(struct cpio_reader *r, const uint8_t *p, size_t n, size_t *ret_used, struct err *e)
{
    size_t used = 0;
    bool was_inside = r->state != BETWEEN;
    while (used < n) {
        size_t taken = 0;
        if (r->state == BETWEEN && was_inside)
            break;
        if (step(r, p + used, n - used, &taken, e) < 0)
            return -1;
        was_inside = true;
        used += taken;
    }
    *ret_used = used;
    return 0;
}
