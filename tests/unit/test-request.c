/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Requests for a websocket that get in with their token, and those that do not, with the
 * reason. */
#include "proxy/request.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define OWN "https://proxy.example"

#define SIXTEEN "0123456789abcdef"
#define LONGEST                                                                                \
    SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN    \
        SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

#define HUNDRED SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN "0123"

/* A field left out has the value of a good request; ABSENT takes the header away. */
#define ABSENT "\x01"

/* What a row expects when it does not expect a token: the codes begin at 0. */
#define REFUSED(error) .code = (error), .refused = TRUE

typedef struct {
    const char *name;
    const char *path;
    const char *args[4];
    const char *connection;
    const char *cookie;
    const char *http_version;
    const char *host;
    const char *origin;
    const char *subprotocols;
    const char *version;
    const char *key;
    gboolean has_body;
    gboolean is_clear; /* without TLS */

    const char *allowed[3];
    gboolean any_origin;
    gboolean require_origin;

    const char *token; /* expected; or: */
    gboolean refused;
    VcError code;
} Row;

#define QUERY(...)  .args = {__VA_ARGS__}
#define BAD         REFUSED(VC_ERROR_BAD_REQUEST)
#define NO_TOKEN    REFUSED(VC_ERROR_NO_TOKEN)
#define FOREIGN     REFUSED(VC_ERROR_ORIGIN)
#define NOT_FOUND   REFUSED(VC_ERROR_NOT_FOUND)
#define WITH_ORIGIN QUERY("token=a"), .origin

/* clang-format off */
static const Row rows[] = {
    /* Path */
    {"path/plain", .path = "/websockify", QUERY("token=a"), .token = "a"},
    {"path/slash", .path = "/websockify/", QUERY("token=a"), .token = "a"},
    {"path/below", .path = "/websockify/some/where", QUERY("token=a"), .token = "a"},
    {"path/root", .path = "/", QUERY("token=a"), NOT_FOUND},
    {"path/empty", .path = "", QUERY("token=a"), NOT_FOUND},
    {"path/longer", .path = "/websockifyx", QUERY("token=a"), NOT_FOUND},
    {"path/shorter", .path = "/websockif", QUERY("token=a"), NOT_FOUND},
    {"path/capitals", .path = "/Websockify", QUERY("token=a"), NOT_FOUND},
    {"path/two-slashes", .path = "//websockify", QUERY("token=a"), NOT_FOUND},
    {"path/prefixed", .path = "/console/websockify", QUERY("token=a"), NOT_FOUND},
    {"path/host", .path = "//evil.example/%2f..", QUERY("token=a"), NOT_FOUND},

    /* Token in the path */
    {"segment/token", .path = "/websockify/a", .token = "a"},
    {"segment/slash-behind", .path = "/websockify/a/", .token = "a"},
    {"segment/more-behind", .path = "/websockify/a/b", .token = "a"},
    {"segment/query-counts", .path = "/websockify/b", QUERY("token=a"), .token = "a"},
    {"segment/cookie-counts", .path = "/websockify/b", .cookie = "token=a", .token = "a"},
    {"segment/bad-but-unused", .path = "/websockify/..", QUERY("token=a"), .token = "a"},
    {"segment/none", .path = "/websockify", NO_TOKEN},
    {"segment/empty", .path = "/websockify/", NO_TOKEN},
    {"segment/two-slashes", .path = "/websockify//a", NO_TOKEN},
    {"segment/dot", .path = "/websockify/.", BAD},
    {"segment/dots", .path = "/websockify/..", BAD},
    {"segment/dots-and-more", .path = "/websockify/../a", BAD},
    {"segment/space", .path = "/websockify/a b", BAD},
    {"segment/hash", .path = "/websockify/a#b", BAD},
    {"segment/not-ascii", .path = "/websockify/\xc3\xa4", BAD},
    {"segment/too-long", .path = "/websockify/" LONGEST "x", BAD},

    /* Token in the query */
    {"query/longest", QUERY("token=" LONGEST), .token = LONGEST},
    {"query/equals-sign", QUERY("token=ab=="), .token = "ab=="},
    {"query/among-others", QUERY("path=x", "token=a", "tokens=b"), .token = "a"},
    {"query/other-names", QUERY("Token=a", "xtoken=a", "token2=a"), NO_TOKEN},
    {"query/twice", QUERY("token=a", "token=b"), BAD},
    {"query/twice-the-same", QUERY("token=a", "token=a"), BAD},
    {"query/twice-one-empty", QUERY("token=a", "token"), BAD},
    {"query/empty", QUERY("token="), BAD},
    {"query/no-value", QUERY("token"), BAD},
    {"query/empty-but-segment", .path = "/websockify/a", QUERY("token="), BAD},
    {"query/empty-but-cookie", QUERY("token="), .cookie = "token=a", BAD},
    {"query/dot", QUERY("token=."), BAD},
    {"query/dots", QUERY("token=.."), BAD},
    {"query/slash", QUERY("token=../status"), BAD},
    {"query/backslash", QUERY("token=..\\status"), BAD},
    {"query/question-mark", QUERY("token=a?x"), BAD},
    {"query/hash", QUERY("token=a#x"), BAD},
    {"query/line-break", QUERY("token=a\r\nX: y"), BAD},
    {"query/space", QUERY("token=a b"), BAD},
    {"query/not-ascii", QUERY("token=\xc3\xa4"), BAD},
    {"query/too-long", QUERY("token=" LONGEST "x"), BAD},

    /* Token in the cookie */
    {"cookie/alone", .cookie = "token=a", .token = "a"},
    {"cookie/among-others", .cookie = "x=y; token=a;z", .token = "a"},
    {"cookie/spaces", .cookie = "  token=a  ", .token = "a"},
    {"cookie/equals-sign", .cookie = "token=ab==", .token = "ab=="},
    {"cookie/same-as-query", QUERY("token=a"), .cookie = "token=a", .token = "a"},
    {"cookie/other-names", .cookie = "Token=a; xtoken=b; token2=c; token", NO_TOKEN},
    {"cookie/none", .cookie = "", NO_TOKEN},
    {"cookie/other-than-query", QUERY("token=a"), .cookie = "token=b", BAD},
    {"cookie/twice", .cookie = "token=a; token=b", BAD},
    {"cookie/twice-the-same", .cookie = "token=a;token=a", BAD},
    {"cookie/empty", .cookie = "token=", BAD},
    {"cookie/empty-but-query", QUERY("token=a"), .cookie = "token=", BAD},
    {"cookie/dots", .cookie = "token=..", BAD},
    {"cookie/slash", .cookie = "token=a/b", BAD},
    {"cookie/space", .cookie = "token=a b", BAD},
    {"cookie/too-long", .cookie = "token=" LONGEST "x", BAD},
    {"cookie/no-origin", .cookie = "token=a", .origin = ABSENT, FOREIGN},
    {"cookie/any-origin", .cookie = "token=a", .any_origin = TRUE, FOREIGN},
    {"cookie/foreign", .cookie = "token=a", .origin = "https://evil.example", FOREIGN},
    {"cookie/allowed", .cookie = "token=a", .origin = "https://cloud.example",
     .allowed = {"https://cloud.example:443"}, .token = "a"},
    {"cookie/unused-no-origin", QUERY("token=a"), .cookie = "token=a", .origin = ABSENT, .token = "a"},

    /* Origin: the request's own */
    {"own/same", WITH_ORIGIN = OWN, .token = "a"},
    {"own/default-port", WITH_ORIGIN = OWN ":443", .token = "a"},
    {"own/host-with-port", WITH_ORIGIN = OWN, .host = "proxy.example:443", .token = "a"},
    {"own/other-ports-both", WITH_ORIGIN = OWN ":8443", .host = "proxy.example:8443", .token = "a"},
    {"own/capitals", WITH_ORIGIN = "HTTPS://Proxy.Example", .host = "PROXY.example", .token = "a"},
    {"own/clear-text", WITH_ORIGIN = "http://proxy.example", .is_clear = TRUE, .token = "a"},
    {"own/clear-text-port", WITH_ORIGIN = "http://proxy.example:80", .is_clear = TRUE, .token = "a"},
    {"own/v6", WITH_ORIGIN = "https://[::1]:8443", .host = "[::1]:8443", .token = "a"},
    {"own/v6-other", WITH_ORIGIN = "https://[::2]:8443", .host = "[::1]:8443", FOREIGN},
    {"own/v6-other-port", WITH_ORIGIN = "https://[::1]:8444", .host = "[::1]:8443", FOREIGN},
    {"own/foreign", WITH_ORIGIN = "https://evil.example", FOREIGN},
    {"own/null", WITH_ORIGIN = "null", FOREIGN},
    {"own/empty", WITH_ORIGIN = "", FOREIGN},
    {"own/suffixed", WITH_ORIGIN = OWN ".evil.example", FOREIGN},
    {"own/prefixed", WITH_ORIGIN = "https://evilproxy.example", FOREIGN},
    {"own/subdomain", WITH_ORIGIN = "https://www.proxy.example", FOREIGN},
    {"own/parent", WITH_ORIGIN = "https://example", FOREIGN},
    {"own/user", WITH_ORIGIN = OWN "@evil.example", FOREIGN},
    {"own/other-port", WITH_ORIGIN = OWN ":8443", FOREIGN},
    {"own/other-scheme", WITH_ORIGIN = "http://proxy.example", FOREIGN},
    {"own/other-scheme-same-port", WITH_ORIGIN = "http://proxy.example:443", FOREIGN},
    {"own/tls-page-clear-text", WITH_ORIGIN = OWN, .is_clear = TRUE, FOREIGN},
    {"own/path", WITH_ORIGIN = OWN "/", FOREIGN},
    {"own/two", WITH_ORIGIN = OWN " https://evil.example", FOREIGN},
    {"own/no-host", WITH_ORIGIN = OWN, .host = ABSENT, FOREIGN},
    {"own/empty-host", WITH_ORIGIN = "https://", .host = "", FOREIGN},
    {"own/two-hosts", WITH_ORIGIN = OWN, .host = "proxy.example, evil.example", FOREIGN},
    {"own/host-with-user", WITH_ORIGIN = "https://evil.example", .host = "proxy@evil.example", FOREIGN},
    {"own/absent", WITH_ORIGIN = ABSENT, .token = "a"},
    {"own/absent-but-required", WITH_ORIGIN = ABSENT, .require_origin = TRUE, FOREIGN},
    {"own/required", WITH_ORIGIN = OWN, .require_origin = TRUE, .token = "a"},

    /* Origin: a list */
    {"list/first", WITH_ORIGIN = "https://cloud.example",
     .allowed = {"https://cloud.example:443", "http://lab.example:8080"}, .token = "a"},
    {"list/second", WITH_ORIGIN = "http://lab.example:8080",
     .allowed = {"https://cloud.example:443", "http://lab.example:8080"}, .token = "a"},
    {"list/own-not-in-it", WITH_ORIGIN = OWN, .allowed = {"https://cloud.example:443"}, FOREIGN},
    {"list/other-port", WITH_ORIGIN = "https://cloud.example:444", .allowed = {"https://cloud.example:443"}, FOREIGN},
    {"list/null", WITH_ORIGIN = "null", .allowed = {"https://cloud.example:443"}, FOREIGN},
    {"list/absent", WITH_ORIGIN = ABSENT, .allowed = {"https://cloud.example:443"}, .token = "a"},

    /* Origin: any */
    {"any/foreign", WITH_ORIGIN = "https://evil.example", .any_origin = TRUE, .token = "a"},
    {"any/null", WITH_ORIGIN = "null", .any_origin = TRUE, .token = "a"},
    {"any/absent", WITH_ORIGIN = ABSENT, .any_origin = TRUE, .token = "a"},
    {"any/absent-but-required", WITH_ORIGIN = ABSENT, .any_origin = TRUE, .require_origin = TRUE, FOREIGN},

    /* The origin is judged first: a foreign page learns nothing else. */
    {"first/path", .path = "/", WITH_ORIGIN = "null", FOREIGN},
    {"first/version", .version = "8", WITH_ORIGIN = "null", FOREIGN},
    {"first/token", QUERY("token=.."), .origin = "null", FOREIGN},
    {"first/no-token", .origin = "null", FOREIGN},

    /* Subprotocol */
    {"subprotocol/none", QUERY("token=a"), .subprotocols = ABSENT, .token = "a"},
    {"subprotocol/binary", QUERY("token=a"), .subprotocols = "binary", .token = "a"},
    {"subprotocol/last", QUERY("token=a"), .subprotocols = "base64, binary", .token = "a"},
    {"subprotocol/first", QUERY("token=a"), .subprotocols = "binary,base64", .token = "a"},
    {"subprotocol/spaces", QUERY("token=a"), .subprotocols = " x ,\t binary ", .token = "a"},
    {"subprotocol/other", QUERY("token=a"), .subprotocols = "base64", BAD},
    {"subprotocol/longer", QUERY("token=a"), .subprotocols = "binary2", BAD},
    {"subprotocol/part", QUERY("token=a"), .subprotocols = "notbinary, x-binary-y", BAD},
    {"subprotocol/two-words", QUERY("token=a"), .subprotocols = "binary base64", BAD},
    {"subprotocol/capitals", QUERY("token=a"), .subprotocols = "Binary", BAD},
    {"subprotocol/empty", QUERY("token=a"), .subprotocols = "", BAD},

    {"subprotocol/longest", QUERY("token=a"), .subprotocols = HUNDRED "0123456789abcdefgh,binary", .token = "a"},
    {"subprotocol/too-long", QUERY("token=a"), .subprotocols = HUNDRED "0123456789abcdefghi, binary", BAD},

    /* The upgrade itself */
    {"upgrade/connection-list", QUERY("token=a"), .connection = "keep-alive, Upgrade", .token = "a"},
    {"upgrade/connection-capitals", QUERY("token=a"), .connection = "UPGRADE", .token = "a"},
    {"upgrade/no-connection", QUERY("token=a"), .connection = ABSENT, BAD},
    {"upgrade/other-connection", QUERY("token=a"), .connection = "keep-alive", BAD},
    {"upgrade/connection-part", QUERY("token=a"), .connection = "upgrade-insecure-requests", BAD},
    {"upgrade/connection-too-long", QUERY("token=a"), .connection = "upgrade, " HUNDRED "0123456789abcdefgh", BAD},
    {"upgrade/http-1.0", QUERY("token=a"), .http_version = "HTTP/1.0", BAD},
    {"upgrade/http-2", QUERY("token=a"), .http_version = "HTTP/2", BAD},
    {"upgrade/no-http-version", QUERY("token=a"), .http_version = ABSENT, BAD},
    {"upgrade/no-host", WITH_ORIGIN = ABSENT, .host = ABSENT, BAD},
    {"upgrade/no-version", QUERY("token=a"), .version = ABSENT, BAD},
    {"upgrade/old-version", QUERY("token=a"), .version = "8", BAD},
    {"upgrade/longer-version", QUERY("token=a"), .version = "130", BAD},
    {"upgrade/version-list", QUERY("token=a"), .version = "8, 13", BAD},
    {"upgrade/no-key", QUERY("token=a"), .key = ABSENT, BAD},
    {"upgrade/empty-key", QUERY("token=a"), .key = "", BAD},
    {"upgrade/short-key", QUERY("token=a"), .key = "dGhlIHNhbXBsZSBub25j", BAD},
    {"upgrade/long-key", QUERY("token=a"), .key = "dGhlIHNhbXBsZSBub25jZSE=", BAD},
    {"upgrade/key-with-tail", QUERY("token=a"), .key = KEY "x", BAD},
    {"upgrade/key-not-base64", QUERY("token=a"), .key = "dGhlIHNhbXBsZSBub25j!Q==", BAD},
    {"upgrade/body", QUERY("token=a"), .has_body = TRUE, BAD},
};
/* clang-format on */

static const char *
value(const char *given, const char *otherwise)
{
    if (given == NULL)
        return otherwise;
    return strcmp(given, ABSENT) == 0 ? NULL : given;
}

static char *
check(const Row *row, GError **error)
{
    const VcpRequest request = {
        .path = value(row->path, "/websockify"),
        .args = row->args,
        .connection = value(row->connection, "Upgrade"),
        .cookie = row->cookie,
        .http_version = value(row->http_version, "HTTP/1.1"),
        .host = value(row->host, "proxy.example"),
        .origin = value(row->origin, OWN),
        .subprotocols = value(row->subprotocols, "binary"),
        .version = value(row->version, "13"),
        .key = value(row->key, KEY),
        .has_body = row->has_body,
        .is_tls = !row->is_clear,
    };
    const VcpRequestPolicy policy = {
        .allowed_origins = row->allowed,
        .any_origin = row->any_origin,
        .require_origin = row->require_origin,
    };

    return vcp_request_check(&request, &policy, error);
}

static void
test_row(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(GError) error = NULL;
    char *token = check(row, &error);

    g_test_message("%s", error != NULL ? error->message : "let in");
    g_assert_cmpstr(token, ==, row->token);
    if (row->refused) {
        g_assert_error(error, VC_ERROR, (int)row->code);
        g_assert_null(strstr(error->message, "evil"));
        g_assert_null(strstr(error->message, SIXTEEN));
    } else {
        g_assert_no_error(error);
        g_assert_nonnull(token);
    }
    vc_secret_free(token);
}

/* Whoever asks may call the host what they want; nothing is learnt from it. */
static void
test_many_hosts(void)
{
    for (unsigned i = 0; i < 100000; i++) {
        char host[32], origin[48];
        g_snprintf(host, sizeof host, "h%u.example", i);
        g_snprintf(origin, sizeof origin, "https://h%u.example", i + 1);
        const Row row = {.args = {"token=a"}, .host = host, .origin = origin};
        g_assert_null(check(&row, NULL));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/request/%s", rows[i].name);
        g_test_add_data_func(path, &rows[i], test_row);
    }
    g_test_add_func("/request/many-hosts", test_many_hosts);
    return g_test_run();
}
