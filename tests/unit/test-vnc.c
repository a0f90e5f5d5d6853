/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The VNC handshake and its relay against every transcript tests/transcripts/vnc-*.txt. */
#include "transcript.h"

int
main(int argc, char **argv)
{
    return transcript_suite(argc, argv, "vnc-");
}
