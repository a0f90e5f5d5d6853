/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Leases on a store in memory, shared by two workers; time passes only where a test says so. */
#include "proxy/lease.h"

#include <string.h>

#include "common/error.h"

static guint64 clock_ms = 1000000;

static guint64
now_ms(void)
{
    return clock_ms;
}

/* A holder of a lease, and what it was told. */
typedef struct {
    VcpLease *lease;
    guint n_answers;
    VcpStoreAnswer answer;
    gboolean frees; /* the lease, in the call back */
} Holder;

typedef struct {
    VcpMemory *memory;
    VcpLeaseHub *hub;
    uv_loop_t loop; /* of both workers */
    VcpLeases *workers[2];
    Holder a, b;
} Fixture;

static void
set_up(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->memory = vcp_memory_new(now_ms);
    self->hub = vcp_lease_hub_new();
    uv_loop_init(&self->loop);
    for (int i = 0; i < 2; i++)
        self->workers[i] = vcp_leases_new(&self->loop, self->hub,
                                          vcp_store_memory_new(self->memory, &self->loop));
}

static void
tear_down(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    vcp_lease_free(self->a.lease);
    vcp_lease_free(self->b.lease);
    for (int i = 0; i < 2; i++)
        vcp_leases_free(self->workers[i]);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
    vcp_lease_hub_free(self->hub);
    vcp_memory_free(self->memory);
}

static void
answered(VcpStoreAnswer answer, gpointer data)
{
    Holder *holder = data;

    holder->n_answers++;
    holder->answer = answer;
    if (holder->frees)
        g_clear_pointer(&holder->lease, vcp_lease_free);
}

static VcpStoreAnswer
wait_for(Fixture *self, Holder *holder)
{
    guint before = holder->n_answers;

    while (holder->n_answers == before)
        uv_run(&self->loop, UV_RUN_ONCE);
    return holder->answer;
}

static VcpStoreAnswer
claim(Fixture *self, int worker, Holder *holder, const VcpLeaseTerms *terms)
{
    holder->lease =
        vcp_lease_claim_token(self->workers[worker], "digest", terms, answered, holder);
    return wait_for(self, holder);
}

static VcpStoreAnswer
attach(Fixture *self, int worker, Holder *holder, guint32 session_id)
{
    holder->lease = vcp_lease_attach(self->workers[worker], "digest", session_id, "h:1",
                                     (VcpChannel){2, 0}, answered, holder);
    return wait_for(self, holder);
}

static VcpStoreAnswer
confirm_spice(Fixture *self, Holder *holder)
{
    static const VcpChannel channels[] = {{2, 0}, {3, 0}};

    vcp_lease_confirm(holder->lease, 7, "h:1");
    VcpStoreAnswer answer = wait_for(self, holder);
    if (answer != VCP_STORE_OK)
        return answer;
    g_assert_true(vcp_lease_add_channels(holder->lease, channels, 2));
    return wait_for(self, holder);
}

static void
test_given_back(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {.is_single = TRUE, .spent_ttl_s = 100};

    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_TAKEN);
    g_clear_pointer(&self->b.lease, vcp_lease_free);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    /* Never confirmed: not spent. */
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_OK);
}

static void
test_spent(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {.is_single = TRUE, .spent_ttl_s = 100};

    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    vcp_lease_confirm(self->a.lease, 0, NULL);
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_SPENT);
    g_clear_pointer(&self->b.lease, vcp_lease_free);
    clock_ms += 99 * 1000;
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_SPENT);
    g_clear_pointer(&self->b.lease, vcp_lease_free);
    clock_ms += 2 * 1000;
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_OK);
}

static void
test_spent_until_expiry(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {.is_single = TRUE, .spent_ttl_s = 10};

    terms.expires_s = g_get_real_time() / G_USEC_PER_SEC + 1000;
    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    vcp_lease_confirm(self->a.lease, 0, NULL);
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    clock_ms += 999 * 1000;
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_SPENT);
}

static void
test_come_back(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {
        .is_single = TRUE, .spent_ttl_s = 100, .reconnect_window_s = 5, .client = "192.0.2.1"};
    VcpLeaseTerms other = terms;

    other.client = "192.0.2.2";
    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    vcp_lease_confirm(self->a.lease, 0, NULL);
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    g_assert_cmpint(claim(self, 1, &self->b, &other), ==, VCP_STORE_SPENT);
    g_clear_pointer(&self->b.lease, vcp_lease_free);
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_OK);
}

static void
test_console(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    self->a.lease = vcp_lease_claim_console(self->workers[0], "h:1", answered, &self->a);
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    self->b.lease = vcp_lease_claim_console(self->workers[1], "h:1", answered, &self->b);
    g_assert_cmpint(wait_for(self, &self->b), ==, VCP_STORE_TAKEN);
    g_clear_pointer(&self->b.lease, vcp_lease_free);
    self->b.lease = vcp_lease_claim_console(self->workers[1], "h:2", answered, &self->b);
    g_assert_cmpint(wait_for(self, &self->b), ==, VCP_STORE_OK);
}

static void
test_unanswered(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {0};

    self->a.lease =
        vcp_lease_claim_token(self->workers[0], "digest", &terms, answered, &self->a);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    /* The claim was heard, so it must have been given back. */
    g_assert_cmpint(claim(self, 1, &self->b, &terms), ==, VCP_STORE_OK);
    g_assert_cmpuint(self->a.n_answers, ==, 0);
}

static void
test_session_over(Fixture *self, gconstpointer data)
{
    VcpLeaseTerms terms = {.is_single = TRUE, .spent_ttl_s = 100};

    self->b.frees = data != NULL;
    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    g_assert_cmpint(confirm_spice(self, &self->a), ==, VCP_STORE_OK);
    self->b.frees = FALSE;
    g_assert_cmpint(attach(self, 1, &self->b, 7), ==, VCP_STORE_OK);
    self->b.frees = data != NULL;
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    g_assert_cmpint(wait_for(self, &self->b), ==, VCP_STORE_UNKNOWN);
    g_assert_cmpuint(self->b.n_answers, ==, 2);
    vcp_lease_free(g_steal_pointer(&self->b.lease));
    g_assert_cmpint(attach(self, 1, &self->b, 7), ==, VCP_STORE_SPENT);
}

static void
test_next_session(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {0};
    Holder next = {0};

    /* The news of the first session's end must not close a channel of the second. */
    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    g_assert_cmpint(confirm_spice(self, &self->a), ==, VCP_STORE_OK);
    g_clear_pointer(&self->a.lease, vcp_lease_free);
    g_assert_cmpint(claim(self, 0, &next, &terms), ==, VCP_STORE_OK);
    vcp_lease_confirm(next.lease, 8, "h:1");
    vcp_lease_add_channels(next.lease, &(VcpChannel){2, 0}, 1);
    g_assert_cmpint(wait_for(self, &next), ==, VCP_STORE_OK);
    g_assert_cmpint(attach(self, 1, &self->b, 8), ==, VCP_STORE_OK);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpuint(self->b.n_answers, ==, 1);
    vcp_lease_free(next.lease);
}

static void
test_too_many_channels(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {0};
    VcpChannel channels[VCP_STORE_MAX_CHANNELS + 1];

    for (guint i = 0; i < G_N_ELEMENTS(channels); i++)
        channels[i] = (VcpChannel){(guint8)(2 + i / 200), (guint8)(i % 200)};
    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    vcp_lease_confirm(self->a.lease, 7, "h:1");
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_assert_false(vcp_lease_add_channels(self->a.lease, channels, G_N_ELEMENTS(channels)));
    g_assert_true(vcp_lease_add_channels(self->a.lease, channels, VCP_STORE_MAX_CHANNELS));
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_assert_true(vcp_lease_add_channels(self->a.lease, channels, 3));
    g_assert_cmpint(wait_for(self, &self->a), ==, VCP_STORE_OK);
    g_assert_false(vcp_lease_add_channels(self->a.lease, channels + VCP_STORE_MAX_CHANNELS, 1));
}

static void
test_worker_first(Fixture *self, gconstpointer data G_GNUC_UNUSED)
{
    VcpLeaseTerms terms = {0};

    g_assert_cmpint(claim(self, 0, &self->a, &terms), ==, VCP_STORE_OK);
    self->b.lease = vcp_lease_claim_console(self->workers[0], "h:1", answered, &self->b);
    g_clear_pointer(&self->workers[0], vcp_leases_free);
    uv_run(&self->loop, UV_RUN_NOWAIT);
    g_assert_cmpuint(self->b.n_answers, ==, 0);
}

static void
test_errors(void)
{
    static const struct {
        VcpStoreAnswer answer;
        guint16 close_code;
    } rows[] = {
        {VCP_STORE_TAKEN, 4409},      {VCP_STORE_SPENT, 4401}, {VCP_STORE_UNKNOWN, 4403},
        {VCP_STORE_NOT_LISTED, 4403}, {VCP_STORE_AWAY, 4503},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = vcp_lease_error(rows[i].answer);
        g_assert_cmpuint(vc_error_close_code(vc_error_code(error)), ==, rows[i].close_code);
    }
}

#define ADD(name, data, func) g_test_add(name, Fixture, data, set_up, func, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/lease/given-back", NULL, test_given_back);
    ADD("/lease/spent", NULL, test_spent);
    ADD("/lease/spent-until-expiry", NULL, test_spent_until_expiry);
    ADD("/lease/come-back", NULL, test_come_back);
    ADD("/lease/console", NULL, test_console);
    ADD("/lease/unanswered", NULL, test_unanswered);
    ADD("/lease/session-over", NULL, test_session_over);
    ADD("/lease/session-over/freed-at-once", "frees", test_session_over);
    ADD("/lease/next-session", NULL, test_next_session);
    ADD("/lease/too-many-channels", NULL, test_too_many_channels);
    ADD("/lease/worker-first", NULL, test_worker_first);
    g_test_add_func("/lease/errors", test_errors);
    return g_test_run();
}
