/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Each worker writes to a place of its own; the count of those who have not yet is what hands
 * the places over to the asker. */
#include "proxy/survey.h"

#include "proxy/session.h"

struct VcpSurvey {
    int refs, pending; /* atomic */
    int has_killed;    /* atomic */
    guint64 kill_id;   /* 0: list */
    uv_async_t *wake;  /* not owned */
    guint n;
    json_t **answers; /* by worker */
};

/* One worker's copy of the question. */
typedef struct {
    VcpSurvey *survey;
    guint number;
} Ask;

static void
unref(VcpSurvey *self)
{
    if (!g_atomic_int_dec_and_test(&self->refs))
        return;
    for (guint i = 0; i < self->n; i++)
        json_decref(self->answers[i]);
    g_free(self->answers);
    g_free(self);
}

/* --- on a worker's thread --- */

static void
set_text(json_t *object, const char *key, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    json_object_set_new(object, key, json_string(valid));
}

static void
set_number(json_t *object, const char *key, guint64 number)
{
    json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void
add_session(VcpSession *session, gpointer data)
{
    json_t *list = data, *object;
    VcpSessionInfo info;

    if (!vcp_session_describe(session, &info))
        return;
    g_autoptr(GDateTime) began = g_date_time_new_from_unix_utc(info.began_us / G_USEC_PER_SEC);
    g_autofree char *time = g_date_time_format(began, "%Y-%m-%dT%H:%M:%SZ");
    object = json_object();
    set_number(object, "id", info.id);
    set_text(object, "tokenId", info.token_id);
    set_text(object, "type", vc_console_type_name(info.type));
    set_text(object, "client", info.client);
    set_text(object, "console", info.console);
    set_text(object, "state", info.state);
    set_text(object, "startedAt", time);
    set_number(object, "bytesIn", info.bytes_in);
    set_number(object, "bytesOut", info.bytes_out);
    json_array_append_new(list, object);
}

static void
kill_if_meant(VcpSession *session, gpointer data)
{
    VcpSurvey *self = data;
    VcpSessionInfo info;

    if (!vcp_session_describe(session, &info) || info.id != self->kill_id)
        return;
    g_atomic_int_set(&self->has_killed, TRUE);
    vcp_session_end(session, g_error_new_literal(VC_ERROR, VC_ERROR_KILLED,
                                                 "the administrator has ended it"));
}

static void
answer(VcpWorker *worker /* nullable */, gpointer data)
{
    Ask *ask = data;
    VcpSurvey *self = ask->survey;

    if (worker != NULL && self->kill_id != 0) {
        vcp_worker_each_session(worker, kill_if_meant, self);
    } else if (worker != NULL) {
        self->answers[ask->number] = json_array();
        vcp_worker_each_session(worker, add_session, self->answers[ask->number]);
    }
    /* Without a worker the asker's loop is at its end, too. */
    if (g_atomic_int_dec_and_test(&self->pending) && worker != NULL)
        uv_async_send(self->wake);
    unref(self);
    g_free(ask);
}

/* --- on the main thread --- */

VcpSurvey *
vcp_survey_new(VcpWorker **workers, guint n_workers, guint64 kill_id, uv_async_t *wake)
{
    VcpSurvey *self = g_new0(VcpSurvey, 1);

    self->refs = 1 + (int)n_workers;
    self->pending = (int)n_workers;
    self->kill_id = kill_id;
    self->wake = wake;
    self->n = n_workers;
    self->answers = g_new0(json_t *, n_workers);
    for (guint i = 0; i < n_workers; i++) {
        Ask *ask = g_new0(Ask, 1);
        *ask = (Ask){self, i};
        vcp_worker_call(workers[i], answer, ask);
    }
    return self;
}

gboolean
vcp_survey_is_done(const VcpSurvey *self)
{
    return g_atomic_int_get(&self->pending) == 0;
}

static gint
compare_ids(gconstpointer one, gconstpointer other)
{
    json_int_t a = json_integer_value(json_object_get(*(json_t *const *)one, "id"));
    json_int_t b = json_integer_value(json_object_get(*(json_t *const *)other, "id"));

    return a < b ? -1 : a > b;
}

json_t *
vcp_survey_take_sessions(VcpSurvey *self)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    json_t *list = json_array(), *one;
    gsize at;

    for (guint i = 0; i < self->n; i++) {
        json_array_foreach(self->answers[i], at, one) g_ptr_array_add(all, one);
    }
    g_ptr_array_sort(all, compare_ids);
    for (guint i = 0; i < all->len; i++)
        json_array_append(list, g_ptr_array_index(all, i));
    return list;
}

gboolean
vcp_survey_has_killed(const VcpSurvey *self)
{
    return g_atomic_int_get(&self->has_killed);
}

void
vcp_survey_free(VcpSurvey *self)
{
    if (self != NULL)
        unref(self);
}
