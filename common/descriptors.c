/* SPDX-License-Identifier: LGPL-2.1-or-later
 * RLIMIT_NOFILE. */
#include "common/descriptors.h"

#include <sys/resource.h>

/* Where neither the caller nor the system sets an end: as much as Linux allows by default. */
#define WITHOUT_END 1048576

guint64
vc_descriptors_raise(guint64 wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    rlim_t ceiling = limit.rlim_max == RLIM_INFINITY ? WITHOUT_END : limit.rlim_max;
    rlim_t target = wanted == 0 ? ceiling : MIN((rlim_t)wanted, ceiling);
    if (target > limit.rlim_cur) {
        limit.rlim_cur = target;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}
