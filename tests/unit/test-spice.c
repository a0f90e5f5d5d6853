/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The SPICE handshake and its tap against every transcript tests/transcripts/spice-*.txt. */
#include "transcript.h"

int
main(int argc, char **argv)
{
    return transcript_suite(argc, argv, "spice-");
}
