/* libpcap is opened at run time: provium works without it, and only a capture with a filter then
 * fails, by name. The library stays open for the life of the process. */
#include "switch/filter.h"

#include <dlfcn.h>
#include <errno.h>
#include <pcap/pcap.h>
#include <string.h>

#include "base/alloc.h"
#include "switch/capture.h"

static const char library_name[] = "libpcap.so.0.8";

static struct {
    void *handle;
    pcap_t *(*open_dead)(int, int);
    int (*compile)(pcap_t *, struct bpf_program *, const char *, int, bpf_u_int32);
    char *(*geterr)(pcap_t *);
    void (*freecode)(struct bpf_program *);
    void (*close)(pcap_t *);
    int (*offline_filter)(const struct bpf_program *, const struct pcap_pkthdr *, const u_char *);
} pcap;

struct filter {
    struct bpf_program program;
};

static int resolve(void **to, const char *symbol, struct err *e)
{
    *to = dlsym(pcap.handle, symbol);
    return *to ? 0 : err_set(e, ENOSYS, "%s has no %s", library_name, symbol);
}

static int load(struct err *e)
{
    if (pcap.handle)
        return 0;
    pcap.handle = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!pcap.handle) {
        err_set(e, ENOENT, "a capture filter needs libpcap, which can't be loaded: %s", dlerror());
        return err_hint(e, "install libpcap0.8, or capture without a filter");
    }
    if (resolve((void **)&pcap.open_dead, "pcap_open_dead", e) < 0 ||
        resolve((void **)&pcap.compile, "pcap_compile", e) < 0 ||
        resolve((void **)&pcap.geterr, "pcap_geterr", e) < 0 ||
        resolve((void **)&pcap.freecode, "pcap_freecode", e) < 0 ||
        resolve((void **)&pcap.close, "pcap_close", e) < 0 ||
        resolve((void **)&pcap.offline_filter, "pcap_offline_filter", e) < 0) {
        dlclose(pcap.handle);
        pcap.handle = NULL;
        return -1;
    }
    return 0;
}

struct filter *filter_compile(const char *expression, struct err *e)
{
    if (load(e) < 0)
        return NULL;
    pcap_t *dead = pcap.open_dead(DLT_EN10MB, CAPTURE_SNAPLEN);
    if (!dead) {
        err_set(e, ENOMEM, "pcap_open_dead failed");
        return NULL;
    }
    struct filter *f = xnew0(struct filter);
    if (pcap.compile(dead, &f->program, expression, 1, PCAP_NETMASK_UNKNOWN) < 0) {
        err_set(e, EINVAL, "filter `%s`: %s", expression, pcap.geterr(dead));
        free(f);
        f = NULL;
    }
    pcap.close(dead);
    return f;
}

void filter_free(struct filter *f)
{
    if (!f)
        return;
    pcap.freecode(&f->program);
    free(f);
}

bool filter_matches(const struct filter *f, const uint8_t *data, uint32_t len)
{
    struct pcap_pkthdr header = {.caplen = len, .len = len};
    return pcap.offline_filter(&f->program, &header, data) != 0;
}
