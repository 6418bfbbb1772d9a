/* Where a snapshot may go on: found before anything is started, with a reason that names both sides. */
#include "unit.h"

#include <string.h>

#include "base/alloc.h"
#include "vm/host_cpu.h"
#include "vm/launch.h"

static void check(const char *arch, bool taken_kvm, const char *taken_cpu, bool here_kvm, const char *reason)
{
    _cleanup_err_ struct err e = ERR_INIT;
    struct profile profile = {.name = (char *)"p", .arch = ARCH_X86_64};
    const struct snapshot_info info = {.arch = (char *)arch, .kvm = taken_kvm, .host_cpu = (char *)taken_cpu};
    int result = launch_check_origin(&profile, &info, here_kvm, &e);
    assert_int_equal(result, reason ? -1 : 0);
    if (!reason)
        return;
    assert_int_equal(e.code, SNAPSHOT_UNFIT);
    if (!strstr(err_message(&e), reason))
        fail_msg("`%s` does not tell `%s`", err_message(&e), reason);
}

static void test_accelerator_and_cpu(void **state)
{
    _cleanup_free_ char *here = host_cpu_identity();
    _cleanup_free_ char *both = xasprintf("taken on another CPU: Other (0123456789ab); this is %s", here);
    (void)state;
    check("x86_64", false, "", false, NULL);
    check("x86_64", true, here, true, NULL);
    check("x86_64", true, "Other (0123456789ab)", true, both);
    check("x86_64", true, here, false, "taken under KVM; guests run under emulation (TCG) here");
    check("x86_64", false, "", true, "taken under emulation (TCG); guests run under KVM here");
    check("aarch64", false, "", false, "taken of a guest for aarch64; profile `p` is for x86_64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accelerator_and_cpu)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
