#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/clock.h"
#include "temp.h"
#include "vm/accel.h"
#include "vm/accel_guest.h"

static void expected_result_is_right(void **state)
{
    (void)state;
    _cleanup_free_ uint64_t *data = xcalloc(1, TRIAL_DATA_MASK + sizeof(uint64_t));
    uint64_t x = TRIAL_SEED;
    for (int i = 0; i < TRIAL_ROUNDS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t *slot = &data[(x & TRIAL_DATA_MASK) / sizeof(uint64_t)];
        x += *slot;
        *slot = x;
    }
    assert_true(x == TRIAL_EXPECTED);
}

/* The reason for which a device is refused. */
static void assert_refused(const char *device, const char *message, const char *hint)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct accel_probe probe = {.qemu = "/bin/sh", .device = device};
    assert_int_equal(accel_probe_kvm(&probe, &e), -1);
    assert_string_equal(e.message, message);
    if (hint)
        assert_non_null(strstr(e.hint, hint));
}

static void reasons(void **state)
{
    (void)state;
    assert_refused("/nowhere/kvm", "/nowhere/kvm does not exist", "--device /nowhere/kvm");
    assert_refused("/dev/null", "/dev/null is no KVM device: Inappropriate ioctl for device", NULL);
}

/* Needs another user than root, whom permissions do not stop, with a group of its own: 65534 stands for "unknown". */
static void permission_names_the_group(void **state)
{
    (void)state;
    if (!geteuid() || getegid() == 65534)
        skip();
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_free_ char *path = temp_file(dir, "kvm", ""), *hint = NULL, *message = NULL;
    _cleanup_err_ struct err e = ERR_INIT;
    struct accel_probe probe = {.qemu = "/bin/sh", .device = path};
    chmod(path, 0060);
    assert_int_equal(accel_probe_kvm(&probe, &e), -1);
    message = xasprintf("no permission to open %s, which is for the group ", path);
    assert_true(str_starts_with(e.message, message));
    assert_true(str_starts_with(e.hint, "join it: sudo usermod -aG "));
    chmod(path, 0);
    assert_int_equal(accel_probe_kvm(&probe, &e), -1);
    message[strlen(message) - strlen(", which is for the group ")] = '\0';
    assert_string_equal(e.message, message);
}

/* Whatever the KVM of this machine is like, there is an answer in time, and it is remembered. */
static void trial_ends_and_is_remembered(void **state)
{
    (void)state;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        skip(); /* jumps out: nothing may be live */
    close(fd);
    _cleanup_temp_ char *dir = temp_new();
    _cleanup_free_ char *path = path_join(dir, "accel");
    _cleanup_err_ struct err first = ERR_INIT, second = ERR_INIT;
    _cleanup_buf_ struct buf line = BUF_INIT(4096);
    struct accel_probe probe = {.qemu = "/bin/sh", .scratch_root = dir};
    int64_t start = clock_monotonic_ns();
    int usable = accel_probe_kvm(&probe, &first);
    assert_true(clock_monotonic_ns() - start < 20 * NS_PER_S);
    if (usable < 0)
        print_message("KVM here: %s\n", err_message(&first));
    assert_int_equal(file_read(path, &line, NULL), 0);
    assert_int_equal(accel_probe_kvm(&probe, &second), usable);
    assert_string_equal(err_message(&first), err_message(&second));

    /* A remembered line counts for its boot and binary only. */
    _cleanup_free_ char *text = buf_steal_str(&line);
    char *outcome = strchr(strchr(text, ' ') + 1, ' ');
    _cleanup_free_ char *lie = xasprintf("%.*s made up\n", (int)(outcome - text), text);
    free(temp_file(dir, "accel", lie));
    assert_int_equal(accel_probe_kvm(&probe, &second), -1);
    assert_string_equal(second.message, "made up");
    err_clear(&second);
    probe.qemu = "/bin/cat";
    assert_int_equal(accel_probe_kvm(&probe, &second), usable);
    free(temp_file(dir, "accel", lie));
    err_clear(&second);
    probe.qemu = "/bin/sh";
    probe.fresh = true;
    assert_int_equal(accel_probe_kvm(&probe, &second), usable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expected_result_is_right),
        cmocka_unit_test(reasons),
        cmocka_unit_test(permission_names_the_group),
        cmocka_unit_test(trial_ends_and_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
