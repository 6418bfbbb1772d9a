/* The manifest of a snapshot: one JSON object, every key of which is there. What is read may come from anywhere: texts and
 * numbers are bounded before they reach a command line. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "snapshot/layout.h"

#define CPUS_MAX 255
#define TEXT_MAX 65536

void snapshot_info_done(struct snapshot_info *info)
{
    char *texts[] = {info->provium, info->agent,   info->hypervisor, info->vm,    info->profile, info->arch,
                     info->machine, info->cpu,     info->host_cpu,   info->disks, info->cmdline};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < info->nic_count; i++) {
        free(info->nics[i].bridge);
        free(info->nics[i].mac);
    }
    free(info->nics);
    *info = (struct snapshot_info){0};
}

/* ------------------------------------------------------------------------------------------------- pack */

static json_t *pack_nics(const struct snapshot_info *info)
{
    json_t *nics = json_array();
    for (size_t i = 0; i < info->nic_count; i++) {
        const struct snapshot_nic *nic = &info->nics[i];
        json_array_append_new(nics, json_pack("{s:s, s:s, s:i, s:b}", "bridge", nic->bridge, "mac", nic->mac, "slot", nic->slot,
                                              "link", nic->link));
    }
    return nics;
}

static int append(const char *text, size_t n, void *out)
{
    return buf_append(out, text, n);
}

int snapshot_info_pack(const struct snapshot_info *info, struct buf *out, struct err *e)
{
    json_t *disks = json_loads(info->disks ? info->disks : "[]", 0, NULL);
    json_t *object = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:I, s:i, s:s, s:b, s:I, s:b, s:b, s:b, s:I, s:o, s:o}",
        "format", SNAPSHOT_FORMAT, "provium", info->provium, "agent", info->agent, "hypervisor", info->hypervisor, "vm",
        info->vm, "profile", info->profile, "arch", info->arch, "machine", info->machine, "cpu", info->cpu, "kvm", info->kvm,
        "host_cpu", info->host_cpu, "memory_bytes", (json_int_t)info->memory_bytes, "cpus", (int)info->cpus,
        "kernel_cmdline", info->cmdline, "seeded", info->seeded, "rng_seed", (json_int_t)info->rng_seed, "time_pinned",
        info->time_pinned, "serial_agent", info->serial_agent, "paused", info->paused, "taken_ns", (json_int_t)info->taken_ns, "nics", pack_nics(info), "disks",
        disks);
    int failed = !object || json_dump_callback(object, append, out, JSON_COMPACT);
    json_decref(object);
    return failed ? err_set(e, EINVAL, "the manifest cannot be written: a text that is not UTF-8, or too much of it") : 0;
}

/* ------------------------------------------------------------------------------------------------- unpack */

static int wrong(const char *key, struct err *e)
{
    return err_set(e, SNAPSHOT_UNFIT, "damaged: the manifest's `%s`", key);
}

static int take_text(const json_t *object, const char *key, char **ret, struct err *e)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (!text || json_string_length(value) != strlen(text) || strlen(text) > TEXT_MAX)
        return wrong(key, e);
    *ret = xstrdup(text);
    return 0;
}

static int take_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return wrong(key, e);
    *ret = json_integer_value(value);
    return 0;
}

static int take_bool(const json_t *object, const char *key, bool *ret, struct err *e)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return wrong(key, e);
    *ret = json_is_true(value);
    return 0;
}

/* It becomes an option of QEMU's, where a comma begins the next one; such as "max,erms=off" are the profile's. */
static int check_word(const char *key, const char *text, bool options, struct err *e)
{
    const char *accepted = options ? "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-=,:"
                                   : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    return *text && strspn(text, accepted) == strlen(text) ? 0 : wrong(key, e);
}

static bool is_mac(const char *s)
{
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? s[i] != ':' : !s[i] || !strchr("0123456789abcdefABCDEF", s[i]))
            return false;
    return !s[17];
}

static int take_nics(const json_t *object, struct snapshot_info *info, struct err *e)
{
    const json_t *nics = json_object_get(object, "nics"), *one;
    size_t i;
    if (!json_is_array(nics) || json_array_size(nics) > SNAPSHOT_NICS_MAX)
        return wrong("nics", e);
    info->nics = xnewa(struct snapshot_nic, json_array_size(nics));
    json_array_foreach(nics, i, one) {
        struct snapshot_nic *nic = &info->nics[info->nic_count++];
        int64_t slot = 0;
        if (take_text(one, "bridge", &nic->bridge, e) < 0 || take_text(one, "mac", &nic->mac, e) < 0 ||
            take_int(one, "slot", -1, SNAPSHOT_NICS_MAX, &slot, e) < 0 || take_bool(one, "link", &nic->link, e) < 0)
            return -1;
        nic->slot = (int)slot;
        if (!is_mac(nic->mac))
            return wrong("mac", e);
    }
    return 0;
}

static int take_all(const json_t *object, struct snapshot_info *info, struct err *e)
{
    const struct {
        const char *key;
        char **to;
    } texts[] = {{"provium", &info->provium}, {"agent", &info->agent}, {"hypervisor", &info->hypervisor}, {"vm", &info->vm},
                 {"profile", &info->profile}, {"arch", &info->arch}, {"machine", &info->machine}, {"cpu", &info->cpu},
                 {"host_cpu", &info->host_cpu}, {"kernel_cmdline", &info->cmdline}};
    int64_t format = 0, memory = 0, cpus = 0, seed = 0;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (take_text(object, texts[i].key, texts[i].to, e) < 0)
            return -1;
    if (take_int(object, "format", SNAPSHOT_FORMAT, SNAPSHOT_FORMAT, &format, e) < 0 ||
        take_int(object, "memory_bytes", 1, (int64_t)SNAPSHOT_MEMORY_MAX, &memory, e) < 0 ||
        take_int(object, "cpus", 1, CPUS_MAX, &cpus, e) < 0 ||
        take_int(object, "rng_seed", INT64_MIN, INT64_MAX, &seed, e) < 0 ||
        take_int(object, "taken_ns", 0, INT64_MAX, &info->taken_ns, e) < 0 || take_bool(object, "kvm", &info->kvm, e) < 0 ||
        take_bool(object, "seeded", &info->seeded, e) < 0 || take_bool(object, "time_pinned", &info->time_pinned, e) < 0 ||
        take_bool(object, "serial_agent", &info->serial_agent, e) < 0 || take_bool(object, "paused", &info->paused, e) < 0 || take_nics(object, info, e) < 0 ||
        check_word("arch", info->arch, false, e) < 0 || check_word("machine", info->machine, true, e) < 0 ||
        check_word("cpu", info->cpu, true, e) < 0)
        return -1;
    info->memory_bytes = (uint64_t)memory;
    info->cpus = (unsigned)cpus;
    info->rng_seed = (uint64_t)seed;
    const json_t *disks = json_object_get(object, "disks");
    if (!json_is_array(disks))
        return wrong("disks", e);
    info->disks = json_dumps(disks, JSON_COMPACT);
    return 0;
}

int snapshot_info_unpack(const char *text, size_t n, struct snapshot_info *ret, struct err *e)
{
    struct snapshot_info info = {0};
    json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
    int failed = json_is_object(object) ? take_all(object, &info, e)
                                        : err_set(e, SNAPSHOT_UNFIT, "damaged: the manifest is not a JSON object");
    json_decref(object);
    if (failed) {
        snapshot_info_done(&info);
        return -1;
    }
    *ret = info;
    return 0;
}
