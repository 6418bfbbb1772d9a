/* provium-agent: as the first process of a guest (rdinit=), as a daemon started by an image's own init, or with
 * `--fd N` as a plain process that serves on a descriptor. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "init.h"
#include "port.h"
#include "root.h"

#define STRING(x)  #x
#define STRING_(x) STRING(x)

/* Also found in the binary by who wants to know before running it. */
const char agent_identity[] = "provium-agent protocol " STRING_(PROTOCOL_VERSION);

static void protect_from_oom_killer(void)
{
    _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "-1000", 5) < 0)
        agent_log("cannot protect the agent from the OOM killer");
}

static int serve_guest(bool pid1)
{
    struct agent_options options = {.init = pid1, .follow_root = !pid1};
    if (root_init() < 0)
        options.follow_root = false;
    protect_from_oom_killer();
    port_open(&options);
    return agent_serve(&options);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fd")) {
        struct agent_options options = {.fd = atoi(argv[2]), .channel_name = "fd"};
        root_init();
        return agent_serve(&options);
    }
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts(agent_identity);
        return 0;
    }
    bool pid1 = getpid() == 1 && init_run(argv);
    if (chdir("/") < 0)
        return 1;
    return serve_guest(pid1);
}
