/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Rights on two desks, with a resolver that answers when and what the test wants. */
#include "proxy/rights.h"

#include <string.h>

#include "common/error.h"
#include "common/token.h"

#define RECHECK_S 1

/* --- the resolver --- */

typedef struct {
    VcpResolver resolver; /* first */
    GQueue asked;         /* of VcpQuery */
    guint n_asked, n_cancelled;
    gboolean is_sync; /* it answers at once, with service */
    VcService *service;
} FakeResolver;

struct VcpQuery {
    char *token;
    VcpResolved resolved;
    gpointer data;
};

static void
resolve(VcpResolved resolved, gpointer data, VcService *service /* nullable */, VcError code)
{
    g_autoptr(GError) error =
        service == NULL ? g_error_new_literal(VC_ERROR, (int)code, "no") : NULL;

    resolved(service, error, data);
}

static VcpQuery *
fake_query(VcpResolver *resolver, const char *token, VcpResolved resolved, gpointer data)
{
    FakeResolver *self = (FakeResolver *)resolver;

    self->n_asked++;
    if (self->is_sync) {
        resolve(resolved, data, self->service, VC_ERROR_TOKEN);
        return NULL;
    }
    VcpQuery *query = g_new0(VcpQuery, 1);
    query->token = g_strdup(token);
    query->resolved = resolved;
    query->data = data;
    g_queue_push_tail(&self->asked, query);
    return query;
}

static void
free_query(VcpQuery *query)
{
    g_free(query->token);
    g_free(query);
}

static void
fake_cancel(VcpResolver *resolver, VcpQuery *query)
{
    FakeResolver *self = (FakeResolver *)resolver;

    self->n_cancelled++;
    g_assert_true(g_queue_remove(&self->asked, query));
    free_query(query);
}

static const VcpResolverOps fake_ops = {.query = fake_query, .cancel = fake_cancel};

static void
answer(FakeResolver *self, VcService *service /* nullable */, VcError code)
{
    VcpQuery *query = g_queue_pop_head(&self->asked);
    VcpResolved resolved = query->resolved;
    gpointer data = query->data;

    free_query(query);
    resolve(resolved, data, service, code);
}

/* --- two desks on one loop --- */

typedef struct {
    uv_loop_t loop;
    VcpRights *rights;
    FakeResolver resolvers[2];
    VcpDesk *desks[2];
} Fixture;

static void
begin(Fixture *self, guint recheck_s)
{
    memset(self, 0, sizeof *self);
    uv_loop_init(&self->loop);
    self->rights = vcp_rights_new(recheck_s);
    for (int i = 0; i < 2; i++) {
        self->resolvers[i].resolver.ops = &fake_ops;
        self->desks[i] = vcp_desk_new(self->rights, &self->loop, &self->resolvers[i].resolver);
    }
}

/* Messages and timers that are due. */
static void
turn(Fixture *self)
{
    for (int i = 0; i < 4; i++)
        uv_run(&self->loop, UV_RUN_NOWAIT);
}

static void
end(Fixture *self)
{
    for (int i = 0; i < 2; i++) {
        g_assert_cmpuint(self->resolvers[i].asked.length, ==, 0);
        vcp_desk_free(self->desks[i]);
    }
    vcp_rights_free(self->rights);
    uv_run(&self->loop, UV_RUN_DEFAULT);
    g_assert_cmpint(uv_loop_close(&self->loop), ==, 0);
}

static void
wait_asked(Fixture *self, int desk, guint n)
{
    while (self->resolvers[desk].n_asked < n)
        uv_run(&self->loop, UV_RUN_ONCE);
    g_assert_cmpuint(self->resolvers[desk].n_asked, ==, n);
}

/* --- sessions --- */

typedef struct {
    VcpRight *right; /* nullable: over */
    guint n_told;
    VcService *service; /* of the last time; nullable: dead */
} Session;

static void
on_told(VcService *service, gpointer data)
{
    Session *self = data;

    self->n_told++;
    self->service = service;
    if (service == NULL)
        g_clear_pointer(&self->right, vcp_right_free);
}

static void
start(Session *self, Fixture *fixture, int desk, const char *token)
{
    memset(self, 0, sizeof *self);
    self->right = vcp_right_new(fixture->desks[desk], token, on_told, self);
}

static void
stop(Session *self)
{
    g_clear_pointer(&self->right, vcp_right_free);
}

static void
assert_told(const Session *self, guint n, VcService *service)
{
    g_assert_cmpuint(self->n_told, ==, n);
    g_assert_true(self->service == service);
}

static VcService *
make_service(void)
{
    return vc_service_new(VC_CONSOLE_VNC, "hv", 5900, NULL);
}

static void
say_dead(Fixture *self, const char *token)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    vcp_rights_dead(self->rights, digest);
}

static void
say_changed(Fixture *self, const char *token)
{
    char digest[VC_TOKEN_DIGEST_SIZE];

    vc_token_digest(token, digest);
    vcp_rights_ask(self->rights, digest);
}

/* --- tests --- */

static void
test_dead(void)
{
    Fixture f;
    Session one, two, there, other;

    begin(&f, 0);
    start(&one, &f, 0, "t");
    start(&two, &f, 0, "t");
    start(&there, &f, 1, "t");
    start(&other, &f, 1, "u");
    say_dead(&f, "nobody's");
    say_dead(&f, "t");
    assert_told(&one, 0, NULL);
    turn(&f);
    assert_told(&one, 1, NULL);
    assert_told(&two, 1, NULL);
    assert_told(&there, 1, NULL);
    assert_told(&other, 0, NULL);
    g_assert_cmpuint(f.resolvers[0].n_asked + f.resolvers[1].n_asked, ==, 0);
    say_dead(&f, "t");
    turn(&f);
    assert_told(&one, 1, NULL);
    stop(&other);
    end(&f);
}

/* One query for all of a token's sessions, on whichever desk; everybody hears of it. */
/* What is on its way is known to who asks for it, and to nobody else yet. */
static void
test_heard_early(void)
{
    Fixture f;
    Session one, two, other;

    begin(&f, 0);
    start(&one, &f, 0, "t");
    start(&two, &f, 0, "t");
    start(&other, &f, 0, "u");
    vcp_right_hear(one.right);
    assert_told(&one, 0, NULL);
    say_dead(&f, "t");
    vcp_right_hear(other.right);
    vcp_right_hear(one.right);
    assert_told(&one, 1, NULL);
    assert_told(&two, 0, NULL);
    turn(&f);
    assert_told(&one, 1, NULL);
    assert_told(&two, 1, NULL);
    assert_told(&other, 0, NULL);
    stop(&other);
    end(&f);
}

static void
test_periodic(void)
{
    Fixture f;
    Session sessions[100];
    g_autoptr(VcService) service = make_service();

    begin(&f, RECHECK_S);
    gint64 began = g_get_monotonic_time();
    for (int i = 0; i < 100; i++)
        start(&sessions[i], &f, i % 2, "t");
    wait_asked(&f, 0, 1);
    g_assert_cmpint(g_get_monotonic_time() - began, >=, RECHECK_S * 700000);
    answer(&f.resolvers[0], service, 0);
    turn(&f);
    for (int i = 0; i < 100; i++)
        assert_told(&sessions[i], 1, service);
    wait_asked(&f, 0, 2);
    answer(&f.resolvers[0], NULL, VC_ERROR_TOKEN);
    turn(&f);
    for (int i = 0; i < 100; i++) {
        assert_told(&sessions[i], 2, NULL);
        g_assert_null(sessions[i].right);
    }
    g_assert_cmpuint(f.resolvers[1].n_asked, ==, 0);
    end(&f);
}

/* A reload has another step. */
static void
test_another_step(void)
{
    Fixture f;
    Session one;
    g_autoptr(VcService) service = make_service();

    begin(&f, 0);
    start(&one, &f, 0, "t");
    vcp_rights_set_recheck(f.rights, 0);
    turn(&f);
    g_assert_cmpuint(f.resolvers[0].n_asked, ==, 0);
    vcp_rights_set_recheck(f.rights, RECHECK_S);
    for (guint n = 1; n <= 2; n++) {
        wait_asked(&f, 0, n);
        answer(&f.resolvers[0], service, 0);
        assert_told(&one, n, service);
    }
    stop(&one);
    end(&f);
}

/* The resolver is away, or makes no sense. */
static void
test_no_answer(void)
{
    Fixture f;
    Session one, there;

    begin(&f, 0);
    start(&one, &f, 0, "t");
    start(&there, &f, 1, "t");
    say_changed(&f, "t");
    turn(&f);
    answer(&f.resolvers[0], NULL, VC_ERROR_RESOLVER);
    turn(&f);
    assert_told(&one, 0, NULL);
    assert_told(&there, 0, NULL);
    stop(&one);
    stop(&there);
    end(&f);
}

static void
test_another_takes_over(void)
{
    Fixture f;
    Session one, there;

    begin(&f, RECHECK_S);
    start(&one, &f, 0, "t");
    start(&there, &f, 1, "t");
    wait_asked(&f, 0, 1);
    stop(&one);
    g_assert_cmpuint(f.resolvers[0].n_cancelled, ==, 1);
    wait_asked(&f, 1, 1);
    stop(&there);
    g_assert_cmpuint(f.resolvers[1].n_cancelled, ==, 1);
    end(&f);
}

/* It stood at the front, has gone and come back before the message that it is in charge. */
static void
test_goes_and_comes(void)
{
    Fixture f;
    Session one, there;

    begin(&f, RECHECK_S);
    start(&one, &f, 0, "t");
    start(&there, &f, 1, "t");
    stop(&one);
    start(&one, &f, 0, "t");
    stop(&there);
    start(&there, &f, 1, "t");
    wait_asked(&f, 0, 1);
    g_assert_cmpuint(f.resolvers[1].n_asked, ==, 0);
    stop(&one);
    stop(&there);
    end(&f);
}

/* What is heard while a query is under way may be news to whoever answers it. */
static void
test_asked_again(void)
{
    Fixture f;
    Session one;
    g_autoptr(VcService) before = make_service();
    g_autoptr(VcService) after = make_service();

    begin(&f, 0);
    start(&one, &f, 0, "t");
    say_changed(&f, "t");
    turn(&f);
    say_changed(&f, "t");
    say_changed(&f, "t");
    turn(&f);
    g_assert_cmpuint(f.resolvers[0].n_asked, ==, 1);
    answer(&f.resolvers[0], before, 0);
    assert_told(&one, 0, NULL);
    g_assert_cmpuint(f.resolvers[0].n_asked, ==, 2);
    answer(&f.resolvers[0], after, 0);
    assert_told(&one, 1, after);
    stop(&one);
    end(&f);
}

static void
test_all(void)
{
    Fixture f;
    Session sessions[50];
    char tokens[50][8];
    guint n_answered = 0;

    begin(&f, 0);
    for (int i = 0; i < 50; i++) {
        g_snprintf(tokens[i], sizeof tokens[i], "t%d", i);
        start(&sessions[i], &f, 0, tokens[i]);
    }
    vcp_rights_ask(f.rights, NULL);
    turn(&f);
    while (f.resolvers[0].asked.length > 0) {
        g_assert_cmpuint(f.resolvers[0].asked.length, <=, 8);
        /* some end before their turn, or while they are asked for */
        if (n_answered == 10) {
            for (int i = 0; i < 50; i += 5)
                stop(&sessions[i]);
        }
        n_answered++;
        answer(&f.resolvers[0], NULL, VC_ERROR_TOKEN);
    }
    for (int i = 0; i < 50; i++)
        g_assert_true(sessions[i].right == NULL);
    end(&f);
}

/* The token file answers at once, and sessions end while it does. */
static void
test_sync(void)
{
    Fixture f;
    Session sessions[50];
    g_autoptr(VcService) service = make_service();

    begin(&f, 0);
    for (int i = 0; i < 2; i++) {
        f.resolvers[i].is_sync = TRUE;
        f.resolvers[i].service = service;
    }
    for (int i = 0; i < 50; i++)
        start(&sessions[i], &f, i % 2, i % 4 < 2 ? "t" : "u");
    vcp_rights_ask(f.rights, NULL);
    turn(&f);
    for (int i = 0; i < 50; i++)
        assert_told(&sessions[i], 1, service);
    g_assert_cmpuint(f.resolvers[0].n_asked + f.resolvers[1].n_asked, ==, 2);
    f.resolvers[0].service = NULL;
    vcp_rights_ask(f.rights, NULL);
    turn(&f);
    for (int i = 0; i < 50; i++)
        g_assert_true(sessions[i].right == NULL);
    end(&f);
}

static void
test_use(void)
{
    Fixture f;
    Session one, there;

    begin(&f, 0);
    start(&one, &f, 0, "t");
    start(&there, &f, 1, "t");
    vcp_right_use(one.right, 7);
    g_assert_cmpuint(vcp_right_used_ms(there.right), ==, 7);
    vcp_right_use(there.right, 9);
    g_assert_cmpuint(vcp_right_used_ms(one.right), ==, 9);
    stop(&one);
    stop(&there);
    end(&f);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rights/dead", test_dead);
    g_test_add_func("/rights/heard-early", test_heard_early);
    g_test_add_func("/rights/periodic", test_periodic);
    g_test_add_func("/rights/another-step", test_another_step);
    g_test_add_func("/rights/no-answer", test_no_answer);
    g_test_add_func("/rights/another-takes-over", test_another_takes_over);
    g_test_add_func("/rights/goes-and-comes", test_goes_and_comes);
    g_test_add_func("/rights/asked-again", test_asked_again);
    g_test_add_func("/rights/all", test_all);
    g_test_add_func("/rights/sync", test_sync);
    g_test_add_func("/rights/use", test_use);
    return g_test_run();
}
