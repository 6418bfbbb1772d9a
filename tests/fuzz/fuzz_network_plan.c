/* The plan of operation configure_network: whatever is accepted stays within its own bounds. */
#include <stdlib.h>

#include "network_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct network_plan plan;
    if (network_plan_parse(bytes_of(data, size), &plan) < 0)
        return 0;
    size_t settings = 0;
    for (size_t i = 0; i < plan.nic_count; i++) {
        check(plan.nics[i].first == settings);
        settings += plan.nics[i].count;
    }
    check(settings == plan.setting_count);
    for (size_t i = 0; i < settings; i++)
        check((plan.settings[i].size == 4 || plan.settings[i].size == 16) &&
              plan.settings[i].prefix <= 8 * plan.settings[i].size);
    check(plan.hosts.len + plan.resolv_conf.len <= size);
    network_plan_done(&plan);
    return 0;
}
