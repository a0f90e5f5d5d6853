/* SPDX-License-Identifier: LGPL-2.1-or-later
 * virtconsoleresolveradm: the whole of it is in resolver/adm.c. */
#include "resolver/adm.h"
#include "resolver/xml.h"

int
main(int argc, char **argv)
{
    vcr_xml_init();
    return vcr_adm_main(argc, argv);
}
