/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Conversations of both peers with a handshake, read from text files, and their replay in every
 * way in which a network may cut them.
 *
 *     # a comment
 *     case <name>            begins a case; lines before the first case begin every one of them
 *     service [spice] [insecure] [tunnel] [power] [no-credentials] [password=<text>]
 *     compute> <bytes>       the hypervisor sends; tenant> the client sends
 *     compute< <bytes>       the hypervisor is sent; tenant< the client is sent
 *     start-tls | splice     the handshake says so, now and not before
 *     store <note> <answer>  the store is told, now and not before, and answers; <note> is
 *                            main | channel <session> <t>.<id> | session <session> |
 *                            channels <t>.<id>[*<n>]…, <answer> ok | taken | spent | unknown |
 *                            not-listed | away
 *     fail <error> [<text>]  it fails with this error, whose message has the text in it
 *     refuse <text>          the session turns the client away; client bytes after it go there
 *     refused                the client has been told
 *
 * Bytes are hex digits, or a text in double quotes with \n, \0, \e and \"; "*n" repeats the
 * item before it. A case that ends with none of splice, fail and refuse ends waiting. */
#pragma once

#include "proxy/handshake.h"

typedef enum {
    TRANSCRIPT_SEND,
    TRANSCRIPT_EXPECT,
    TRANSCRIPT_START_TLS,
    TRANSCRIPT_SPLICE,
    TRANSCRIPT_STORE,
    TRANSCRIPT_FAIL,
    TRANSCRIPT_REFUSE,
    TRANSCRIPT_REFUSED,
} TranscriptOp;

typedef struct {
    TranscriptOp op;
    VcpSide side;
    GByteArray *bytes; /* SEND, EXPECT */
    char *word;        /* FAIL: the error's name; REFUSE: the reason */
    char *text;        /* FAIL: part of the message, nullable; STORE: the note */
    VcpStoreAnswer answer;
} TranscriptStep;

typedef struct {
    char *name; /* <file>/<case> */
    VcService *service;
    gboolean has_credentials;
    GPtrArray *steps; /* TranscriptStep */
} Transcript;

/* Every case of a file, which must be well-formed. The whole test lives as long as they do. */
GPtrArray *transcript_load(const char *path);

gboolean transcript_has_step(const Transcript *self, TranscriptOp op);

/* Every step in its place, one byte at a time: nothing comes early, nothing late. */
void transcript_replay_bytes(const Transcript *self);

/* All that can be there is there at once, trailing bytes behind the splice included. */
void transcript_replay_whole(const Transcript *self);

/* Pieces of random length, from both sides in random order. */
void transcript_replay_random(const Transcript *self, guint32 seed);

/* Each side in turn falls silent after each of its bytes up to the splice: no splice, ever. */
void transcript_replay_truncated(const Transcript *self);

/* One byte in the clear behind the last one before TLS: a failure. */
void transcript_replay_injected(const Transcript *self);

/* A main(): every case of every tests/transcripts/<prefix>*.txt, replayed in every way. */
int transcript_suite(int argc, char **argv, const char *prefix);
