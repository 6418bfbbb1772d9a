/* `provium init [DIR]`: a project that passes, with what an editor wants to know. What is there already is kept, unless --force. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/io.h"
#include "base/json.h"
#include "cli/lsp.h"
#include "cli/say.h"
#include "cli/verb.h"

#define TEXT_MAX 65536

/* A basic string of TOML: the escapes of JSON are a subset of its own. */
static void add_path(struct buf *out, const char *key, const char *path)
{
    _cleanup_free_ char *absolute = path ? path_absolute(path) : xstrdup("@bundled");
    buf_printf(out, "%s = ", key);
    json_append_text(out, absolute);
    buf_append_byte(out, '\n');
}

static const char *last(const struct strv *v)
{
    return v->count ? v->items[v->count - 1] : NULL;
}

static void compose_config(struct buf *out, const struct options *options)
{
    const char *kernel = last(&options->kernels), *initrd = last(&options->initrds);
    buf_append_str(out, "[provium]\nroots = [\"tests\"]\n\n");
    if (kernel || initrd) {
        buf_append_str(out, "[profiles.main]\n");
        add_path(out, "kernel", kernel);
        add_path(out, "initrd", initrd);
        buf_append_str(out, "cmdline = \"console=ttyS0 quiet panic=-1\"\n");
        return;
    }
    buf_append_str(out, "# Tests boot the guest that comes with provium, as profile \"default\". One with your kernel:\n"
                        "#\n"
                        "# [profiles.main]\n"
                        "# kernel = \"/path/to/bzImage\"\n"
                        "# initrd = \"@bundled\"\n"
                        "# cmdline = \"console=ttyS0 quiet panic=-1\"\n");
}

static int write_new(const struct options *options, const char *directory, const char *name, const struct buf *text,
                     bool *kept, struct err *e)
{
    _cleanup_free_ char *path = path_join(directory, name), *parent = path_directory(path);
    if (!options->force && access(path, F_OK) == 0) {
        say_note("`%s` is there already: kept (--force replaces it)", path);
        *kept = true;
        return 0;
    }
    if (dir_create_all(parent, 0777, e) < 0 ||
        file_write_atomic(path, buf_head(text), text->len, 0644, false, e) < 0)
        return -1;
    printf("%s\n", path);
    return 0;
}

static int write_project(const struct options *options, const char *directory, bool *kept, struct err *e)
{
    const char *profile = options->kernels.count || options->initrds.count ? "main" : "default";
    _cleanup_buf_ struct buf config = BUF_INIT(TEXT_MAX), test = BUF_INIT(TEXT_MAX), fixture = BUF_INIT(TEXT_MAX);
    compose_config(&config, options);
    buf_printf(&test,
               "-- provium runs every *.test.lua below tests/.\n"
               "test(\"the kernel boots\", function(t)\n"
               "    local vm = provium:vm(\"smoke\", \"%s\"):boot()\n"
               "    t:assert_contains(vm:read_file(\"/proc/version\"), \"Linux\")\n"
               "end)\n",
               profile);
    buf_printf(&fixture,
               "-- A machine that is prepared once and restored in no time: provium:vm_fixture(\"fixtures/base\")\n"
               "local vm = provium:vm(\"base\", \"%s\"):boot()\n"
               "vm:write_file(\"/prepared\", \"yes\")\n"
               "return vm:snapshot()\n",
               profile);
    if (write_new(options, directory, "provium.toml", &config, kept, e) < 0 ||
        write_new(options, directory, "tests/smoke.test.lua", &test, kept, e) < 0)
        return -1;
    if (write_new(options, directory, "tests/fixtures/base.fixture.lua", &fixture, kept, e) < 0)
        return -1;
    bool kept_editor;
    return lsp_write(directory, options->force, &kept_editor, e);
}

int verb_init(const struct options *options)
{
    _cleanup_err_ struct err e = ERR_INIT;
    bool kept = false;
    if (write_project(options, options->operands.count ? options->operands.items[0] : ".", &kept, &e) < 0) {
        say_error(&e);
        return EXIT_USAGE;
    }
    return kept ? EXIT_TESTS_FAILED : 0;
}
