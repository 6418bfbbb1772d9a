/* provium-coverage: reads the event stream of a run, stored or live, and tells which tests cover what. A stream is read
 * in pieces, so its size does not matter; what is kept are the tests. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/io.h"
#include "coverage/coverage.h"
#include "wire/message.h"

#define EXIT_BELOW 1 /* --fail-under, --strict */
#define EXIT_USAGE 2
#define REPORT_MAX ((size_t)2 << 30)
#define CHUNK      65536

struct settings {
    const char *from, *socket, *output, *expect;
    struct strv keys, expected;
    bool follow, json, html, strict;
    double fail_under; /* -1: not given */
};

static const char usage[] =
    "Usage: provium-coverage --from PATH|- | --from-socket PATH  [FLAGS]\n\n"
    "Counts the tests of a run by a key of their meta, from its event stream.\n\n"
    "  --from PATH|-         what --save-events has written, or standard input\n"
    "  --from-socket PATH    a run's --events-socket: reads until the run is over\n"
    "  --follow              go on with the next iteration of provium --watch\n"
    "  --by KEY              the key (default spec); repeated: one report each\n"
    "  --json, --html        instead of text; JSON has one line per key\n"
    "  -o FILE               instead of standard output; replaced as a whole\n"
    "  --expect FILE         names that there should be, one per line\n"
    "  --fail-under PCT      exit 1 if fewer of the names, expected or found, have passed\n"
    "  --strict              exit 1 if the stream is cut\n"
    "  -h, --help, -V, --version\n\n"
    "Exit codes: 0 reported, 1 see above, 2 bad usage or a source that cannot be read.\n";

static int complain(const struct err *e)
{
    fprintf(stderr, "provium-coverage: %s\n", err_message(e));
    if (e->hint)
        fprintf(stderr, "  hint: %s\n", e->hint);
    return EXIT_USAGE;
}

/* ------------------------------------------------------------------------------------------------- reports */

static int write_out(const struct settings *s, const struct buf *text, struct err *e)
{
    if (s->output)
        return file_write_atomic(s->output, buf_head(text), text->len, 0644, false, e);
    if (write_full(STDOUT_FILENO, buf_head(text), text->len) < 0)
        return err_errno(e, "standard output");
    return 0;
}

static void warn_about(const struct replay *r)
{
    if (r->cut || !r->completed)
        fprintf(stderr, "provium-coverage: stream cut after %zu frames at byte %llu\n", r->frames,
                (unsigned long long)r->bytes);
    if (r->protocol && r->protocol != PROTOCOL_VERSION)
        fprintf(stderr, "provium-coverage: the stream has protocol %lld, this program %d; %zu frames of unknown kinds skipped\n",
                (long long)r->protocol, PROTOCOL_VERSION, r->unknown);
}

/* The reports of one run; takes the replay. Returns the exit code. */
static int report(const struct settings *s, struct replay *r, bool cut)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT(REPORT_MAX);
    const struct strv *expected = s->expect ? &s->expected : NULL;
    _cleanup_free_ struct coverage **reports = xnewa(struct coverage *, s->keys.count);
    replay_end(r, cut);
    warn_about(r);
    int code = s->strict && (r->cut || !r->completed) ? EXIT_BELOW : 0;
    for (size_t i = 0; i < s->keys.count; i++) {
        const struct coverage *c = reports[i] = coverage_new(r, s->keys.items[i], expected);
        double percent = coverage_percent(c, expected);
        if (s->json)
            coverage_json(&out, c);
        else if (!s->html)
            coverage_text(&out, c);
        if (!s->json && !s->html && i + 1 < s->keys.count)
            buf_append_byte(&out, '\n');
        if (percent < s->fail_under) {
            fprintf(stderr, "provium-coverage: %.1f %% of `%s` passed, less than %g %%\n", percent, c->key, s->fail_under);
            code = EXIT_BELOW;
        }
    }
    if (s->html)
        coverage_html(&out, reports, s->keys.count);
    if (write_out(s, &out, &e) < 0)
        code = complain(&e);
    for (size_t i = 0; i < s->keys.count; i++)
        coverage_free(reports[i]);
    replay_done(r);
    return code;
}

/* ------------------------------------------------------------------------------------------------- sources */

static int open_socket(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(e, ENAMETOOLONG, "--from-socket: `%s` is too long", path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    err_errno(e, "--from-socket: `%s`", path);
    close_fd(&fd);
    return -1;
}

static int open_source(const struct settings *s, struct err *e)
{
    if (s->socket)
        return open_socket(s->socket, e);
    if (!strcmp(s->from, "-"))
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int fd = open(s->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 ? fd : err_errno(e, "--from: `%s`", s->from);
}

/* Appends what comes next; 0 at end of file, -1 on error. */
static ssize_t read_more(int fd, struct buf *in)
{
    uint8_t *to = buf_reserve(in, CHUNK);
    ssize_t n;
    do
        n = read(fd, to, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        buf_commit(in, (size_t)n);
    return n;
}

/* All runs of a stream that is followed, else one. */
static int read_runs(const struct settings *s, int fd)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf in = BUF_INIT(2 * EVENT_FRAME_MAX + CHUNK);
    struct replay r = {0};
    ssize_t got = 1;
    int found = 0, code = 0, runs = 0;
    while (got > 0 && found >= 0) {
        found = replay_feed(&r, &in, &e);
        if (found > 0) {
            int one = report(s, &r, false);
            code = one > code ? one : code;
            runs++;
            if (!s->follow)
                return code;
        } else if (!found) {
            got = read_more(fd, &in);
        }
    }
    if (got < 0) {
        err_errno(&e, "%s", s->socket ? s->socket : s->from);
        replay_done(&r);
        return complain(&e);
    }
    if (!runs || r.frames) {
        int one = report(s, &r, true);
        code = one > code ? one : code;
    }
    return code;
}

/* ------------------------------------------------------------------------------------------------- command line */

static int read_expected(struct settings *s, struct err *e)
{
    _cleanup_buf_ struct buf text = BUF_INIT((size_t)64 << 20);
    if (file_read(s->expect, &text, e) < 0)
        return err_prefix(e, "--expect");
    _cleanup_free_ char *all = buf_steal_str(&text);
    char *rest = all, *line;
    while ((line = strsep(&rest, "\n"))) {
        line[strcspn(line, "\r")] = '\0';
        if (*line)
            strv_add(&s->expected, line);
    }
    strv_sort(&s->expected);
    strv_unique(&s->expected);
    return 0;
}

static int parse_percent(const char *text, double *ret, struct err *e)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || !(value >= 0 && value <= 100))
        return err_set(e, EINVAL, "--fail-under: `%s` is no number from 0 to 100", text);
    *ret = value;
    return 0;
}

enum { OPT_FROM = 256, OPT_SOCKET, OPT_FOLLOW, OPT_BY, OPT_JSON, OPT_HTML, OPT_EXPECT, OPT_UNDER, OPT_STRICT };

static int take_option(struct settings *s, int option, struct err *e)
{
    switch (option) {
    case OPT_FROM: s->from = optarg; return 0;
    case OPT_SOCKET: s->socket = optarg; return 0;
    case OPT_FOLLOW: s->follow = true; return 0;
    case OPT_BY: strv_add(&s->keys, optarg); return 0;
    case OPT_JSON: s->json = true; return 0;
    case OPT_HTML: s->html = true; return 0;
    case OPT_EXPECT: s->expect = optarg; return 0;
    case OPT_STRICT: s->strict = true; return 0;
    case OPT_UNDER: return parse_percent(optarg, &s->fail_under, e);
    case 'o': s->output = optarg; return 0;
    case 'h': fputs(usage, stdout); exit(0);
    case 'V': printf("provium-coverage %s\nprotocol %d\n", PROVIUM_VERSION, PROTOCOL_VERSION); exit(0);
    default: return err_hint(e, "provium-coverage --help");
    }
}

static int parse(int argc, char **argv, struct settings *s, struct err *e)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, OPT_FROM},     {"from-socket", required_argument, NULL, OPT_SOCKET},
        {"follow", no_argument, NULL, OPT_FOLLOW},       {"by", required_argument, NULL, OPT_BY},
        {"json", no_argument, NULL, OPT_JSON},           {"html", no_argument, NULL, OPT_HTML},
        {"expect", required_argument, NULL, OPT_EXPECT}, {"fail-under", required_argument, NULL, OPT_UNDER},
        {"strict", no_argument, NULL, OPT_STRICT},       {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},             {0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "o:hV", options, NULL)) >= 0) {
        if (option == '?')
            err_set(e, EINVAL, "`%s`: no such flag, or its value is missing", argv[optind - 1]);
        if (take_option(s, option, e) < 0)
            return -1;
    }
    if (optind < argc)
        err_set(e, EINVAL, "what is `%s`?", argv[optind]);
    else if (!s->from == !s->socket)
        err_set(e, EINVAL, "exactly one of --from and --from-socket is needed");
    else if (s->json && s->html)
        err_set(e, EINVAL, "--json and --html contradict each other");
    else if (s->follow && !s->socket)
        err_set(e, EINVAL, "--follow needs --from-socket");
    else
        return s->expect ? read_expected(s, e) : 0;
    return err_hint(e, "provium-coverage --help");
}

int main(int argc, char **argv)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct settings s = {.fail_under = -1};
    _cleanup_close_ int fd = -1;
    int code;
    if (parse(argc, argv, &s, &e) < 0 || (fd = open_source(&s, &e)) < 0) {
        code = complain(&e);
    } else {
        if (!s.keys.count)
            strv_add(&s.keys, "spec");
        code = read_runs(&s, fd);
    }
    strv_done(&s.keys);
    strv_done(&s.expected);
    return code;
}
