/* Which agent overlay is taken. */
#include "initrd_fixture.h"

static char *put_overlay(const char *name, const char *agent)
{
    _cleanup_buf_ struct buf archive = BUF_INIT(4096);
    add(&archive, "./sbin/provium-agent", S_IFREG | 0755, agent);
    cpio_finish(&archive);
    _cleanup_buf_ struct buf gzip = compressed(MAGIC_GZIP, &archive);
    return put(name, &gzip);
}

static char *found(const struct overlay_search *search, char **ret_note)
{
    _cleanup_(overlay_done) struct overlay overlay = OVERLAY_INIT;
    _cleanup_err_ struct err e = ERR_INIT;
    if (overlay_find(search, &overlay, &e) < 0)
        return xstrdup(err_message(&e));
    assert_int_equal(strlen(overlay.hash), 64);
    *ret_note = steal_ptr(overlay.note);
    return overlay.path ? xstrdup(overlay.path + strlen(directory)) : xstrdup("embedded");
}

static void expect_overlay(const struct overlay_search *search, const char *expected, const char *note)
{
    _cleanup_free_ char *noted = NULL;
    _cleanup_free_ char *got = found(search, &noted);
    assert_string_equal(got, expected);
    if (note)
        assert_non_null(strstr(noted, note));
    else
        assert_null(noted);
}

static void overlay_order(void **state)
{
    (void)state;
    _cleanup_free_ char *bin = at("tree/build/bin"), *share = at("tree/build/share/provium"), *dist = at("tree/dist");
    dir_create_all(bin, 0700, NULL);
    dir_create_all(share, 0700, NULL);
    dir_create_all(dist, 0700, NULL);
    struct overlay_search search = {.binary_directory = bin, .agent = "A", .agent_size = 1, .protocol = 3};
    expect_overlay(&search, "embedded", NULL);
    free(put_overlay("tree/dist/agent-overlay.cpio.gz", "ELF provium-agent-protocol=3\n..."));
    expect_overlay(&search, "/tree/dist/agent-overlay.cpio.gz", NULL);
    free(put_overlay("tree/build/share/provium/agent-overlay.cpio.gz", "provium-agent-protocol=2\n"));
    expect_overlay(&search, "/tree/dist/agent-overlay.cpio.gz", "speaks protocol version 2, this provium 3");
    free(put_overlay("tree/dist/agent-overlay.cpio.gz", "no marker"));
    expect_overlay(&search, "embedded", "names no protocol version");
    free(put_overlay("tree/build/share/provium/agent-overlay.cpio.gz", "provium-agent-protocol=3\n"));
    expect_overlay(&search, "/tree/build/bin/../share/provium/agent-overlay.cpio.gz", NULL);
    _cleanup_free_ char *own = put_overlay("own.cpio.gz", "anything");
    search.environment = own;
    expect_overlay(&search, "/own.cpio.gz", NULL);
    search.configured = "/nonexistent";
    expect_overlay(&search, "agent_overlay_path: `/nonexistent`: No such file or directory", NULL);
    search.configured = NULL;
    search.environment = "/nonexistent";
    expect_overlay(&search, "PROVIUM_OVERLAY: `/nonexistent`: No such file or directory", NULL);
    _cleanup_buf_ struct buf plain = sample("init");
    _cleanup_free_ char *foreign = put("foreign", &plain);
    _cleanup_free_ char *message = xasprintf("PROVIUM_OVERLAY: `%s`: it does not hold sbin/provium-agent", foreign);
    search.environment = foreign;
    expect_overlay(&search, message, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(overlay_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
