/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleresolverd: options, objects, run, exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "resolver/daemon.h"
#include "resolver/xml.h"
#include "vc-build.h"

#define EXIT_CONFIG 2

static int
complain(const GError *error)
{
    fprintf(stderr, "virtconsoleresolverd: %s\n", error->message);
    return EXIT_CONFIG;
}

static int
check(VcrConfig *config)
{
    g_autoptr(GError) error = NULL;

    if (!vcr_daemon_check(config, &error))
        return complain(error);
    puts("virtconsoleresolverd: the configuration is good");
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_set_prgname("virtconsoleresolverd");
    g_autoptr(VcrConfig) config = vcr_config_parse(argc, argv, &error);
    if (config == NULL)
        return complain(error);
    if (config->common.version) {
        printf("virtconsoleresolverd %s\n", VC_VERSION);
        return EXIT_SUCCESS;
    }

    vc_log_init(config->common.shown);
    vc_json_init();
    vcr_xml_init();
    if (config->common.check_config)
        return check(config);
    g_autoptr(VcrDaemon) daemon = vcr_daemon_new(config, &error);
    if (daemon == NULL)
        return complain(error);
    if (!vcr_daemon_run(daemon))
        _exit(EXIT_SUCCESS); /* a thread still uses what would be freed */
    return EXIT_SUCCESS;
}
