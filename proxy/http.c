/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Health, files, refusals. */
#include "proxy/http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RETRY_AFTER_S 5

/* Pages come from here only, run no inline script, and tell nobody the address that holds their
 * token. */
#define PAGE_HEADERS                                                                           \
    "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; "       \
    "img-src 'self' data: blob:; font-src 'self'; media-src 'self' blob:; "                    \
    "connect-src 'self' ws: wss:; "                                                            \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'\r\n"                          \
    "x-content-type-options: nosniff\r\n"                                                      \
    "referrer-policy: no-referrer\r\n"                                                         \
    "cache-control: no-cache\r\n"

static const struct {
    const char *suffix;
    const char *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".jpg", "image/jpeg"},
    {".gif", "image/gif"},
    {".woff", "font/woff"},
    {".woff2", "font/woff2"},
    {".ttf", "font/ttf"},
    {".wasm", "application/wasm"},
    {".txt", "text/plain; charset=utf-8"},
    {".mp3", "audio/mpeg"},
    {".oga", "audio/ogg"},
    {".map", "application/json"},
};

static const char *
type_of(const char *path)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        if (g_str_has_suffix(path, types[i].suffix))
            return types[i].type;
    }
    return "application/octet-stream";
}

static gboolean
add_header(struct lws *wsi, const char *name, const char *value, unsigned char **at,
           unsigned char *end)
{
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), at,
                                       end) == 0;
}

static gboolean
add_headers(struct lws *wsi, unsigned status, guint retry_after_s, unsigned char **at,
            unsigned char *end)
{
    char seconds[16];

    if (!add_header(wsi, "cache-control:", "no-store", at, end))
        return FALSE;
    if (status == 405)
        return add_header(wsi, "allow:", "GET, HEAD", at, end);
    if (status != 429 && status != 503)
        return TRUE;
    g_snprintf(seconds, sizeof seconds, "%u",
               retry_after_s != 0 ? retry_after_s : RETRY_AFTER_S);
    return add_header(wsi, "retry-after:", seconds, at, end);
}

/* The whole answer in one write. */
static gboolean
answer(struct lws *wsi, unsigned status, const char *text, guint retry_after_s, gboolean close)
{
    unsigned char buffer[LWS_PRE + 1024];
    unsigned char *start = buffer + LWS_PRE, *at = start, *end = buffer + sizeof buffer;
    gsize length = strlen(text);
    gboolean is_head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;

    if (lws_add_http_common_headers(wsi, status, "text/plain; charset=utf-8", length, &at,
                                    end) != 0 ||
        !add_headers(wsi, status, retry_after_s, &at, end) ||
        (close && !add_header(wsi, "connection:", "close", &at, end)) ||
        lws_finalize_http_header(wsi, &at, end) != 0 || (gsize)(end - at) < length)
        return FALSE;
    if (!is_head) {
        memcpy(at, text, length);
        at += length;
    }
    int total = (int)(at - start);
    return lws_write(wsi, start, (size_t)total, LWS_WRITE_HTTP_FINAL) == total;
}

gboolean
vcp_http_refuse(struct lws *wsi, VcError code, guint retry_after_s)
{
    g_autofree char *text = g_strconcat(vc_error_reason(code), "\n", NULL);

    return answer(wsi, vc_error_http_status(code), text, retry_after_s, TRUE);
}

static int
answered(struct lws *wsi, gboolean written)
{
    return written && lws_http_transaction_completed(wsi) == 0 ? 0 : -1;
}

static gboolean
is_hidden(const char *path)
{
    return strstr(path, "/.") != NULL || strchr(path, '\\') != NULL;
}

/* The file's real path, or NULL where it is not a plain file below dir: links that lead out of
 * it count as absent. */
static char *
find_file(const char *dir, const char *path)
{
    g_autofree char *wanted =
        g_strconcat(dir, path, g_str_has_suffix(path, "/") ? "index.html" : NULL, NULL);
    g_autofree char *below = g_strconcat(dir, g_str_has_suffix(dir, "/") ? "" : "/", NULL);
    struct stat st;

    if (path[0] != '/' || is_hidden(path))
        return NULL;
    char *real = realpath(wanted, NULL);
    char *found = real != NULL && g_str_has_prefix(real, below) && stat(real, &st) == 0 &&
                          S_ISREG(st.st_mode)
                      ? g_strdup(real)
                      : NULL;
    free(real);
    return found;
}

static int
serve_file(struct lws *wsi, const char *file)
{
    int n =
        lws_serve_http_file(wsi, file, type_of(file), PAGE_HEADERS, (int)strlen(PAGE_HEADERS));

    /* Positive: all of it has gone already; the connection may serve another request. */
    if (n < 0 || (n > 0 && lws_http_transaction_completed(wsi) != 0))
        return -1;
    return 0;
}

int
vcp_http_serve(struct lws *wsi, const char *path, const char *web_dir)
{
    if (strcmp(path, "/healthz") == 0)
        return answered(wsi, answer(wsi, 200, "ok\n", 0, FALSE));
    g_autofree char *file = web_dir != NULL ? find_file(web_dir, path) : NULL;
    if (file == NULL)
        return answered(wsi, answer(wsi, 404, "There is nothing at this path\n", 0, FALSE));
    return serve_file(wsi, file);
}
