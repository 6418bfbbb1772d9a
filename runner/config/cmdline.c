/* A command line has two halves, split by a `--` token: parameters of the kernel and arguments of
 * init. Tokens are separated by white space outside double quotes, as the kernel's next_arg() does
 * it. Everything that is added goes to the end of the first half. */
#include "config/cmdline.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define BLANKS " \t\n\r\v\f"

struct token {
    const char *start;
    size_t length;
};

/* The next token at or after *at, which is moved behind it. */
static bool next_token(const char **at, struct token *ret)
{
    const char *start = *at + strspn(*at, BLANKS), *end = start;
    for (bool quoted = false; *end && (quoted || !strchr(BLANKS, *end)); end++)
        if (*end == '"')
            quoted = !quoted;
    *at = end;
    *ret = (struct token){start, (size_t)(end - start)};
    return end > start;
}

static bool token_is(const struct token *t, const char *text)
{
    return t->length == strlen(text) && !memcmp(t->start, text, t->length);
}

static bool token_starts(const struct token *t, const char *text)
{
    return t->length >= strlen(text) && !memcmp(t->start, text, strlen(text));
}

static char *trimmed(const char *start, const char *end)
{
    start += strspn(start, BLANKS);
    while (end > start && strchr(BLANKS, end[-1]))
        end--;
    return xstrndup(start, end > start ? (size_t)(end - start) : 0);
}

/* The halves before and after the separator, trimmed; *ret_init is NULL without one. */
static void split(const char *cmdline, char **ret_kernel, char **ret_init)
{
    struct token t;
    const char *end = cmdline + strlen(cmdline);
    for (const char *at = cmdline; next_token(&at, &t);) {
        if (!token_is(&t, "--"))
            continue;
        *ret_kernel = trimmed(cmdline, t.start);
        *ret_init = trimmed(at, end);
        return;
    }
    *ret_kernel = trimmed(cmdline, end);
    *ret_init = NULL;
}

static char *join_words(const char *a, const char *b)
{
    return xasprintf("%s%s%s", a, *a && *b ? " " : "", b);
}

static char *join_halves(const char *kernel, const char *init)
{
    if (!init)
        return xstrdup(kernel);
    return xasprintf("%s%s--%s%s", kernel, *kernel ? " " : "", *init ? " " : "", init);
}

char *cmdline_join(const char *base, const char *append)
{
    _cleanup_free_ char *kernel = NULL, *init = NULL, *more_kernel = NULL, *more_init = NULL;
    split(base, &kernel, &init);
    split(append ? append : "", &more_kernel, &more_init);
    _cleanup_free_ char *kernel_half = join_words(kernel, more_kernel);
    _cleanup_free_ char *init_half =
        init || more_init ? join_words(init ? init : "", more_init ? more_init : "") : NULL;
    return join_halves(kernel_half, init_half);
}

static void add_token(char **half, const char *token)
{
    char *joined = join_words(*half, token);
    free(*half);
    *half = joined;
}

static bool has_console(const char *kernel, const char *console)
{
    struct token t;
    _cleanup_free_ char *with_options = xasprintf("%s,", console);
    for (const char *at = kernel; next_token(&at, &t);)
        if (token_is(&t, console) || token_starts(&t, with_options))
            return true;
    return false;
}

static int add_rdinit(const char *profile, char **kernel, struct err *e)
{
    static const char key[] = "rdinit=";
    struct token t;
    bool present = false;
    for (const char *at = *kernel; next_token(&at, &t);) {
        if (!token_starts(&t, key))
            continue;
        present = true;
        if (token_is(&t, "rdinit=" AGENT_RDINIT))
            continue;
        err_set(
            e, EINVAL,
            "profile `%s`: the command line has rdinit=%.*s, the agent needs rdinit=" AGENT_RDINIT,
            profile, (int)(t.length - strlen(key)), t.start + strlen(key));
        return err_hint(e, "remove rdinit= or set inject_agent = false");
    }
    if (!present)
        add_token(kernel, "rdinit=" AGENT_RDINIT);
    return 0;
}

/* An open quote would swallow what is appended. */
static bool quotes_are_balanced(const char *text)
{
    bool open = false;
    for (; *text; text++)
        open ^= *text == '"';
    return !open;
}

int cmdline_compose(const struct cmdline_parts *parts, char **ret_cmdline, struct err *e)
{
    const char *console = parts->arch == ARCH_AARCH64 ? "console=ttyAMA0" : "console=ttyS0";
    _cleanup_free_ char *kernel = NULL, *init = NULL;
    if (!parts->base[strspn(parts->base, BLANKS)])
        return err_set(e, EINVAL, "profile `%s` has empty cmdline", parts->profile);
    _cleanup_free_ char *joined = cmdline_join(parts->base, parts->append);
    split(joined, &kernel, &init);
    if (!quotes_are_balanced(kernel))
        return err_set(e, EINVAL, "profile `%s`: a double quote is not closed in the command line",
                       parts->profile);
    if (!has_console(kernel, console))
        add_token(&kernel, console);
    if (parts->inject_agent && add_rdinit(parts->profile, &kernel, e) < 0)
        return -1;
    _cleanup_free_ char *result = join_halves(kernel, init);
    if (strlen(result) > CMDLINE_MAX)
        return err_set(e, E2BIG,
                       "profile `%s`: the command line has %zu bytes, the kernel takes at most %d",
                       parts->profile, strlen(result), CMDLINE_MAX);
    *ret_cmdline = steal_ptr(result);
    return 0;
}
