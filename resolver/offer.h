/* SPDX-License-Identifier: LGPL-2.1-or-later
 * From a console's metadata and its device to the service that the proxy is told. Pure. */
#pragma once

#include "common/service.h"
#include "resolver/domain.h"

/* Where the guests of one libvirtd are reached. */
typedef struct {
    const char *domain_address; /* nullable: --domain-address */
    const char *host_name;      /* the libvirtd's own */
} VcrPlace;

/* The service (full), without its password. domain: from live XML. NULL with VC_ERROR_POLICY
 * where the console cannot be offered, and why. Any thread. */
VcService *vcr_offer(const VcrDomain *domain, const VcrConsole *console, const VcrPlace *place,
                     GError **error);
