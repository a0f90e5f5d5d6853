/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleproxyctl: the whole of it is in proxy/ctl.c. */
#include "proxy/ctl.h"

int
main(int argc, char **argv)
{
    return vcp_ctl_main(argc, argv);
}
