/* SPDX-License-Identifier: LGPL-2.1-or-later
 * HTTP on a unix socket, by libcurl. */
#include <curl/curl.h>

#include "common/error.h"
#include "proxy/ctl.h"

#define TIMEOUT_MS 10000L
#define MAX_ANSWER (64 << 20) /* some hundred thousand sessions */

static size_t
on_body(char *data, size_t size, size_t n, void *user)
{
    GString *body = user;

    if (body->len + size * n > MAX_ANSWER)
        return 0;
    g_string_append_len(body, data, (gssize)(size * n));
    return size * n;
}

static CURLcode
perform(CURL *curl, const char *socket, const char *method, const char *path, GString *body)
{
    g_autofree char *url = g_strconcat("http://proxy", path, NULL);

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
    return curl_easy_perform(curl);
}

gboolean
vcp_ctl_ask(const char *socket, const char *method, const char *path, VcpCtlAnswer *answer,
            GError **error)
{
    CURL *curl = curl_easy_init();
    GString *body = g_string_new(NULL);
    CURLcode result = perform(curl, socket, method, path, body);

    answer->status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_cleanup(curl);
    answer->body = g_string_free(body, result != CURLE_OK);
    if (result == CURLE_OK)
        return TRUE;
    g_set_error(error, VC_ERROR, VC_ERROR_UNREACHABLE, "%s: %s", socket,
                result == CURLE_COULDNT_CONNECT ? "no proxy answers here, or you may not ask it"
                                                : curl_easy_strerror(result));
    return FALSE;
}

json_t *
vcp_ctl_status(const char *socket, GError **error)
{
    VcpCtlAnswer answer;

    if (!vcp_ctl_ask(socket, "GET", "/status", &answer, error))
        return NULL;
    json_t *status = answer.status == 200 ? json_loads(answer.body, 0, NULL) : NULL;
    if (!json_is_array(json_object_get(status, "sessions"))) {
        g_set_error(error, VC_ERROR, VC_ERROR_PROTOCOL,
                    "%s: an answer without sense (HTTP status %ld)", socket, answer.status);
        g_clear_pointer(&status, json_decref);
    }
    g_free(answer.body);
    return status;
}
