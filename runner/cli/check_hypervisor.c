#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/capture.h"
#include "cli/check.h"
#include "config/qemu.h"
#include "vm/accel.h"

#define QEMU_MAJOR_MIN 7
#define QEMU_MINOR_MIN 2
#define OUTPUT_MAX     (1 << 20)
#define QEMU_TIMEOUT   (30 * NS_PER_S)

/* What every guest gets, or may get when a test attaches it. */
static const char *const devices[] = {"virtio-serial-pci", "virtserialport", "virtio-rng-pci",
                                      "virtio-blk-pci",    "virtio-net-pci", "pci-bridge",
                                      "isa-serial"};

static int ask(const char *qemu, const char *first, const char *second, struct buf *out,
               struct err *e)
{
    char *argv[] = {(char *)qemu, (char *)first, (char *)second, NULL};
    if (capture(argv, out, QEMU_TIMEOUT, e) < 0)
        return -1;
    buf_append_byte(out, '\0');
    return 0;
}

static void check_devices(struct check_list *list, const char *qemu, enum guest_arch arch)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT(OUTPUT_MAX);
    _cleanup_strv_ struct strv missing = STRV_INIT;
    if (ask(qemu, "-device", "help", &out, &e) < 0) {
        check_add(list, CHECK_FAIL, "qemu-devices", NULL, "%s", err_message(&e));
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        char quoted[64];
        if (arch != ARCH_X86_64 && str_starts_with(devices[i], "isa-"))
            continue;
        snprintf(quoted, sizeof(quoted), "name \"%s\"", devices[i]);
        if (!strstr((char *)buf_head(&out), quoted))
            strv_add(&missing, devices[i]);
    }
    _cleanup_free_ char *names = strv_join(&missing, ", ");
    if (missing.count)
        check_add(list, CHECK_FAIL, "qemu-devices", "use a QEMU built with them", "missing: %s",
                  names);
    else
        check_add(list, CHECK_OK, "qemu-devices", NULL, "all that guests need");
}

void check_hypervisor(struct check_list *list, const struct environment *env, enum guest_arch arch)
{
    static const char name[] = "hypervisor";
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_buf_ struct buf out = BUF_INIT(OUTPUT_MAX);
    _cleanup_free_ char *qemu = qemu_find(env, arch, &e);
    if (!qemu) {
        check_add(list, CHECK_FAIL, name, e.hint, "%s", err_message(&e));
        return;
    }
    int major, minor;
    if (ask(qemu, "-version", NULL, &out, &e) < 0) {
        check_add(list, CHECK_FAIL, name, "give a working QEMU with --qemu", "%s", err_message(&e));
    } else if (sscanf((char *)buf_head(&out), "QEMU emulator version %d.%d", &major, &minor) != 2) {
        check_add(list, CHECK_FAIL, name, "give a working QEMU with --qemu", "`%s` is no QEMU",
                  qemu);
    } else if (major < QEMU_MAJOR_MIN || (major == QEMU_MAJOR_MIN && minor < QEMU_MINOR_MIN)) {
        check_add(list, CHECK_FAIL, name, "install QEMU 7.2 or later, or name one with --qemu",
                  "`%s` is version %d.%d", qemu, major, minor);
    } else {
        check_add(list, CHECK_OK, name, NULL, "%s, version %d.%d", qemu, major, minor);
        check_devices(list, qemu, arch);
    }
}

void check_kvm(struct check_list *list, const struct config *config, const struct environment *env)
{
    _cleanup_err_ struct err e = ERR_INIT;
    _cleanup_free_ char *qemu = qemu_find(env, ARCH_X86_64, NULL);
    bool required = false;
    for (size_t i = 0; config && i < config->profile_count; i++)
        required |= config->profiles[i].accel == ACCEL_KVM;
    struct accel_probe probe = {.qemu = qemu ? qemu : "", .fresh = true};
    if (accel_probe_kvm(&probe, &e) == 0)
        check_add(list, CHECK_OK, "kvm", NULL, "runs guests");
    else
        check_add(list, required ? CHECK_FAIL : CHECK_WARN, "kvm", e.hint,
                  "%s; guests run in software emulation, with boot timeouts times 4",
                  err_message(&e));
}
