/* SPDX-License-Identifier: LGPL-2.1-or-later
 * GET <base>/events, again whenever it ends: soon after a stream, later while the resolver is
 * away, rarely where it has none. */
#include "proxy/resolver-events.h"

#include <string.h>

#include "common/token.h"
#include "proxy/event-stream.h"
#include "proxy/timer.h"
#include "proxy/transfers.h"

#define MIN_BACK_OFF_MS 1000
#define MAX_BACK_OFF_MS 30000
#define RARELY_MS       300000
#define SILENCE_S       45L /* three signs of life that did not come */

struct VcpResolverEvents {
    uv_loop_t *loop;
    VcpConfig *config; /* full */
    VcpRights *rights;
    VcpTransfers *transfers;
    VcpTimer *timer;
    CURL *transfer; /* nullable: waiting for the next attempt */
    struct curl_slist *headers;
    VcpEventStream stream;
    gboolean is_open; /* it is a stream */
    gboolean was_open;
    guint back_off_ms;
};

/* --- events --- */

static gboolean
is_digest(const char *text)
{
    return strspn(text, "0123456789abcdef") == VC_TOKEN_DIGEST_SIZE - 1 &&
           strlen(text) == VC_TOKEN_DIGEST_SIZE - 1;
}

static void
on_event(const char *name, const char *text, gpointer data)
{
    VcpResolverEvents *self = data;

    if (strcmp(name, "recheck") == 0) {
        g_debug("the resolver says: ask for all tokens again");
        vcp_rights_ask(self->rights, NULL);
    } else if (is_digest(text) && strcmp(name, "dead") == 0) {
        g_debug("the resolver says: token %.8s is dead", text);
        vcp_rights_dead(self->rights, text);
    } else if (is_digest(text) && strcmp(name, "changed") == 0) {
        g_debug("the resolver says: token %.8s has changed", text);
        vcp_rights_ask(self->rights, text);
    }
}

/* --- the transfer --- */

static long
status_of(CURL *transfer)
{
    long status = 0;

    curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static gboolean
is_stream(CURL *transfer)
{
    const char *type = NULL;

    curl_easy_getinfo(transfer, CURLINFO_CONTENT_TYPE, &type);
    return status_of(transfer) == 200 && type != NULL &&
           g_ascii_strncasecmp(type, "text/event-stream", strlen("text/event-stream")) == 0;
}

static void
note_open(VcpResolverEvents *self)
{
    self->is_open = TRUE;
    self->back_off_ms = MIN_BACK_OFF_MS;
    g_log(G_LOG_DOMAIN, self->was_open ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_MESSAGE,
          "the resolver tells of tokens that die");
    self->was_open = TRUE;
}

/* A short count ends the transfer. */
static size_t
on_body(char *bytes, size_t size, size_t n, void *user)
{
    VcpResolverEvents *self = user;

    if (!self->is_open && !is_stream(self->transfer))
        return 0;
    if (!self->is_open)
        note_open(self);
    return vcp_event_stream_feed(&self->stream, bytes, size * n, on_event, self) ? size * n : 0;
}

static void
close_transfer(VcpResolverEvents *self)
{
    if (self->transfer == NULL)
        return;
    vcp_transfers_remove(self->transfers, self->transfer);
    curl_easy_cleanup(self->transfer);
    curl_slist_free_all(self->headers);
    self->transfer = NULL;
    self->headers = NULL;
}

static void
add_headers(VcpResolverEvents *self)
{
    const char *last_id = vcp_event_stream_last_id(&self->stream);

    self->headers = curl_slist_append(NULL, "Accept: text/event-stream");
    if (last_id[0] != '\0') {
        g_autofree char *header = g_strconcat("Last-Event-ID: ", last_id, NULL);
        self->headers = curl_slist_append(self->headers, header);
    }
    curl_easy_setopt(self->transfer, CURLOPT_HTTPHEADER, self->headers);
}

static void
open_transfer(gpointer data)
{
    VcpResolverEvents *self = data;
    g_autofree char *uri = vcp_transfer_uri(self->config, "events", "");

    self->is_open = FALSE;
    vcp_event_stream_begin(&self->stream);
    self->transfer = vcp_transfer_new(self->config, uri);
    curl_easy_setopt(self->transfer, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(self->transfer, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(self->transfer, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)self->config->resolver_timeout_s * 1000);
    curl_easy_setopt(self->transfer, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(self->transfer, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    add_headers(self);
    vcp_transfers_add(self->transfers, self->transfer);
}

/* --- again --- */

/* It has answered, and not with a stream: it has none, or not for us. */
static gboolean
has_none(const VcpResolverEvents *self)
{
    long status = status_of(self->transfer);

    return !self->is_open && status >= 200 && status < 500;
}

static guint
next_back_off_ms(VcpResolverEvents *self)
{
    guint now_ms = self->back_off_ms;

    self->back_off_ms = MIN(now_ms * 2, MAX_BACK_OFF_MS);
    return now_ms;
}

static void
on_ended(CURL *transfer, CURLcode result, gpointer data)
{
    VcpResolverEvents *self = data;
    guint wait_ms = has_none(self) ? RARELY_MS : next_back_off_ms(self);

    if (self->is_open || !has_none(self))
        g_info("there are no events of the resolver for now: HTTP status %ld, %s",
               status_of(transfer), curl_easy_strerror(result));
    else
        g_info("the resolver has no events for us: HTTP status %ld", status_of(transfer));
    close_transfer(self);
    /* Many proxies must not fall into step. */
    vcp_timer_start(self->timer, (guint64)(wait_ms * g_random_double_range(0.8, 1.2)));
}

VcpResolverEvents *
vcp_resolver_events_new(uv_loop_t *loop, VcpConfig *config, VcpRights *rights)
{
    VcpResolverEvents *self = g_new0(VcpResolverEvents, 1);

    self->loop = loop;
    self->config = vcp_config_ref(config);
    self->rights = rights;
    self->back_off_ms = MIN_BACK_OFF_MS;
    self->transfers = vcp_transfers_new(loop, 0, on_ended, self);
    self->timer = vcp_timer_new(loop, open_transfer, self);
    open_transfer(self);
    return self;
}

/* Connections that were made with the old certificates go with their transfers. */
static void
reopen(VcpResolverEvents *self)
{
    vcp_timer_stop(self->timer);
    close_transfer(self);
    vcp_transfers_free(self->transfers);
    self->transfers = vcp_transfers_new(self->loop, 0, on_ended, self);
    self->back_off_ms = MIN_BACK_OFF_MS;
    open_transfer(self);
}

void
vcp_resolver_events_use(VcpResolverEvents *self, VcpConfig *config, gboolean renew)
{
    VcpConfig *old = self->config;

    self->config = vcp_config_ref(config);
    if (renew || strcmp(old->resolver_uri, config->resolver_uri) != 0)
        reopen(self);
    vcp_config_unref(old);
}

void
vcp_resolver_events_free(VcpResolverEvents *self)
{
    if (self == NULL)
        return;
    close_transfer(self);
    vcp_timer_free(self->timer);
    vcp_transfers_free(self->transfers);
    vcp_config_unref(self->config);
    g_free(self);
}
