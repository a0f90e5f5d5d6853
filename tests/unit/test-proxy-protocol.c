/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Headers of the PROXY protocol whole, byte by byte, cut off, and wrong. */
#include "proxy/proxy-protocol.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *data;
    gsize length;
    VcpProxyStep step;
    gsize header;       /* its length */
    const char *source; /* NULL: none */
} Row;

#define BYTES(text)  text, sizeof(text) - 1
#define HEADER(text) BYTES(text), VCP_PROXY_HEADER, sizeof(text) - 1
#define WRONG(text)  BYTES(text), VCP_PROXY_WRONG, 0, NULL
#define WAIT(text)   BYTES(text), VCP_PROXY_WAIT, 0, NULL
#define NO(text)     BYTES(text), VCP_PROXY_NONE, 0, NULL

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4                                                                                     \
    "\xcb\x00\x71\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb" /* 203.0.113.7:56324 → 198.51.100.1:443 \
                                                        */
#define TCP6                                                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                               \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb"
#define HELLO  "\x16\x03\x01\x02\x00\x01\x00"
#define NUL12  "\0\0\0\0\0\0\0\0\0\0\0\0"
#define NUL108 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12 NUL12
#define X12    "xxxxxxxxxxxx"
#define X84    X12 X12 X12 X12 X12 X12 X12

/* clang-format off */
static const Row rows[] = {
    {"nothing", WAIT("")},
    {"none/tls", NO(HELLO)},
    {"none/http", NO("GET / HTTP/1.1\r\n")},
    {"none/head", NO("HEAD / HTTP/1.1\r\n")},
    {"none/nul", NO("\0")},
    {"none/small-letters", NO("proxy TCP4 203.0.113.7 198.51.100.1 56324 443\r\n")},

    {"v1/tcp4", HEADER("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"), "203.0.113.7:56324"},
    {"v1/tcp6", HEADER("PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"), "[2001:db8::7]:56324"},
    {"v1/tcp6-mapped", HEADER("PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 1 443\r\n"), "203.0.113.7:1"},
    {"v1/tcp6-longest", HEADER("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {"v1/port-0", HEADER("PROXY TCP4 203.0.113.7 198.51.100.1 0 0\r\n"), "203.0.113.7"},
    {"v1/unknown", HEADER("PROXY UNKNOWN\r\n"), NULL},
    {"v1/unknown-more", HEADER("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL},
    {"v1/unknown-longest", HEADER("PROXY UNKNOWN " X84 "xxxxxxx\r\n"), NULL},
    {"v1/tls-behind", BYTES("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n" HELLO), VCP_PROXY_HEADER, 47, "203.0.113.7:56324"},
    {"v1/another-behind", BYTES("PROXY UNKNOWN\r\nPROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"), VCP_PROXY_HEADER, 15, NULL},

    {"v1/cut", WAIT("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r")},
    {"v1/first", WAIT("P")},
    {"v1/post", NO("POST / HTTP/1.1\r\n")},
    {"v1/no-space", NO("PROXYTCP4 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/small-letters", NO("Proxy TCP4 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/nothing-behind", WRONG("PROXY \r\n")},
    {"v1/empty", WRONG("PROXY \n")},
    {"v1/two-spaces", WRONG("PROXY  TCP4 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/two-spaces-amid", WRONG("PROXY TCP4 203.0.113.7  198.51.100.1 56324 443\r\n")},
    {"v1/space-behind", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443 \r\n")},
    {"v1/tab", WRONG("PROXY TCP4\t203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/line-feed-alone", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\n")},
    {"v1/carriage-return-amid", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\r\n")},
    {"v1/nul", WRONG("PROXY TCP4 203.0.113.7\0 198.51.100.1 56324 443\r\n")},
    {"v1/nul-in-unknown", WRONG("PROXY UNKNOWN\0\r\n")},
    {"v1/udp4", WRONG("PROXY UDP4 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/unknown-family", WRONG("PROXY TCP5 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/unknown-longer", WRONG("PROXY UNKNOWNS\r\n")},
    {"v1/other-family-4", WRONG("PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n")},
    {"v1/other-family-6", WRONG("PROXY TCP6 203.0.113.7 198.51.100.1 56324 443\r\n")},
    {"v1/mixed-families", WRONG("PROXY TCP4 203.0.113.7 2001:db8::1 56324 443\r\n")},
    {"v1/address-too-great", WRONG("PROXY TCP4 203.0.113.256 198.51.100.1 56324 443\r\n")},
    {"v1/address-octal", WRONG("PROXY TCP4 203.0.113.07 198.51.100.1 56324 443\r\n")},
    {"v1/address-name", WRONG("PROXY TCP4 localhost 198.51.100.1 56324 443\r\n")},
    {"v1/address-zone", WRONG("PROXY TCP6 fe80::1%eth0 2001:db8::1 56324 443\r\n")},
    {"v1/destination-wrong", WRONG("PROXY TCP4 203.0.113.7 x 56324 443\r\n")},
    {"v1/port-too-great", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 65536 443\r\n")},
    {"v1/port-zeros", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 056324 443\r\n")},
    {"v1/port-signed", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 +5 443\r\n")},
    {"v1/port-words", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 http 443\r\n")},
    {"v1/destination-port-wrong", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324 x\r\n")},
    {"v1/word-missing", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n")},
    {"v1/word-more", WRONG("PROXY TCP4 203.0.113.7 198.51.100.1 56324 443 x\r\n")},
    {"v1/too-long", WRONG("PROXY UNKNOWN " X84 "xxxxxxxx\r\n")},
    {"v1/endless", WRONG("PROXY UNKNOWN " X84 X84)},

    {"v2/tcp4", HEADER(V2 "\x21\x11\0\x0c" TCP4), "203.0.113.7:56324"},
    {"v2/tcp6", HEADER(V2 "\x21\x21\0\x24" TCP6), "[2001:db8::7]:56324"},
    {"v2/unspecified", HEADER(V2 "\x21\0\0\0"), NULL},
    {"v2/unix", HEADER(V2 "\x21\x31\0\xd8" NUL108 NUL108), NULL},
    {"v2/local", HEADER(V2 "\x20\0\0\0"), NULL},
    {"v2/local-with-address", HEADER(V2 "\x20\x11\0\x0c" TCP4), NULL},
    {"v2/local-with-anything", HEADER(V2 "\x20\xff\0\x05xxxxx"), NULL},
    {"v2/tls-behind", BYTES(V2 "\x21\x11\0\x0c" TCP4 HELLO), VCP_PROXY_HEADER, 28, "203.0.113.7:56324"},
    {"v2/tlv", HEADER(V2 "\x21\x11\0\x14" TCP4 "\x01\0\x05" "h2abc"), "203.0.113.7:56324"},
    {"v2/tlv-empty", HEADER(V2 "\x21\x11\0\x0f" TCP4 "\x04\0\0"), "203.0.113.7:56324"},
    {"v2/tlv-two", HEADER(V2 "\x21\x11\0\x13" TCP4 "\x04\0\0\x04\0\x01x"), "203.0.113.7:56324"},
    {"v2/tlv-unspecified", HEADER(V2 "\x21\0\0\x04\x04\0\x01x"), NULL},
    {"v2/tlv-sum", HEADER(V2 "\x21\x11\0\x13" TCP4 "\x03\0\x04\x2e\x2c\xd2\x72"), "203.0.113.7:56324"},
    {"v2/longest", HEADER(V2 "\x21\x11\x02\x08" TCP4 "\x04\x01\xf9" X84 X84 X84 X84 X84 X84 "x"), "203.0.113.7:56324"},

    {"v2/first", WAIT("\r")},
    {"v2/signature", WAIT(V2)},
    {"v2/cut-ahead-of-length", WAIT(V2 "\x21\x11\0")},
    {"v2/cut", WAIT(V2 "\x21\x11\0\x0c\xcb\x00\x71\x07\xc6\x33\x64\x01\xdc\x04\x01")},
    {"v2/empty-lines", NO("\r\n\r\nGET / HTTP/1.1\r\n")},
    {"v2/wrong-signature", NO("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" TCP4)},
    {"v2/version-1", WRONG(V2 "\x11\x11\0\x0c" TCP4)},
    {"v2/version-3", WRONG(V2 "\x31\x11\0\x0c" TCP4)},
    {"v2/command-2", WRONG(V2 "\x22\x11\0\x0c" TCP4)},
    {"v2/family-4", WRONG(V2 "\x21\x41\0\x0c" TCP4)},
    {"v2/udp4", WRONG(V2 "\x21\x12\0\x0c" TCP4)},
    {"v2/udp6", WRONG(V2 "\x21\x22\0\x24" TCP6)},
    {"v2/unix-datagram", WRONG(V2 "\x21\x32\0\xd8" NUL108 NUL108)},
    {"v2/family-without-transport", WRONG(V2 "\x21\x10\0\x0c" TCP4)},
    {"v2/transport-without-family", WRONG(V2 "\x21\x01\0\0")},
    {"v2/transport-3", WRONG(V2 "\x21\x13\0\x0c" TCP4)},
    {"v2/tcp4-short", WRONG(V2 "\x21\x11\0\x0b\xcb\x00\x71\x07\xc6\x33\x64\x01\xdc\x04\x01")},
    {"v2/tcp6-short", WRONG(V2 "\x21\x21\0\x0c" TCP4)},
    {"v2/unix-short", WRONG(V2 "\x21\x31\0\x0c" TCP4)},
    {"v2/tlv-cut", WRONG(V2 "\x21\x11\0\x0e" TCP4 "\x04\0")},
    {"v2/tlv-too-long", WRONG(V2 "\x21\x11\0\x10" TCP4 "\x04\0\x02x")},
    {"v2/tlv-sum-wrong", WRONG(V2 "\x21\x11\0\x13" TCP4 "\x03\0\x04\x2e\x2c\xd2\x73")},
    {"v2/tlv-sum-short", WRONG(V2 "\x21\x11\0\x12" TCP4 "\x03\0\x03\x2e\x2c\xd2")},
    {"v2/too-long", WRONG(V2 "\x21\x11\x02\x09")},
    {"v2/too-long-local", WRONG(V2 "\x20\0\xff\xff")},
};
/* clang-format on */

/* A header that is cut off is never taken for one, and nothing behind it changes what it says.
 */
static void
test_row(gconstpointer data)
{
    const Row *row = data;
    VcpProxyHeader header = {0};
    VcpProxyStep step = VCP_PROXY_WAIT;
    gsize decided = 0;

    while (step == VCP_PROXY_WAIT && decided < row->length) {
        decided++;
        /* A copy of just so many bytes, so that a sanitizer sees who reads on. */
        g_autofree guint8 *bytes = g_memdup2(row->data, decided);
        step = vcp_proxy_protocol_parse(bytes, decided, &header);
    }
    g_assert_cmpint(step, ==, row->step);
    g_assert_cmpint(vcp_proxy_protocol_parse((const guint8 *)row->data, row->length, &header),
                    ==, row->step);
    if (step != VCP_PROXY_HEADER)
        return;
    g_assert_cmpuint(header.length, ==, row->header);
    g_assert_cmpuint(decided, ==, row->header);
    g_assert_cmpuint(header.length, <=, VCP_PROXY_MAX);
    g_autofree char *source =
        header.has_source ? vc_ip_to_peer(&header.source, header.port) : NULL;
    g_assert_cmpstr(source, ==, row->source);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/proxy-protocol/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    return g_test_run();
}
