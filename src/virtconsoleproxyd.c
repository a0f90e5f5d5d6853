/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleproxyd: options, objects, run, exit status. */
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/log.h"
#include "proxy/daemon.h"
#include "vc-build.h"

#define EXIT_CONFIG 2

static int
complain(const GError *error)
{
    fprintf(stderr, "virtconsoleproxyd: %s\n", error->message);
    return EXIT_CONFIG;
}

static int
check(VcpConfig *config)
{
    g_autoptr(GError) error = NULL;

    if (!vcp_daemon_check(config, &error))
        return complain(error);
    puts("virtconsoleproxyd: the configuration is good");
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_set_prgname("virtconsoleproxyd");
    g_autoptr(VcpConfig) config = vcp_config_parse(argc, argv, &error);
    if (config == NULL)
        return complain(error);
    if (config->common.version) {
        printf("virtconsoleproxyd %s\n", VC_VERSION);
        return EXIT_SUCCESS;
    }

    vc_log_init(config->common.shown);
    vc_json_init();
    if (config->common.check_config)
        return check(config);
    g_autoptr(VcpDaemon) daemon = vcp_daemon_new(config, &error);
    if (daemon == NULL)
        return complain(error);
    vcp_daemon_run(daemon);
    return EXIT_SUCCESS;
}
