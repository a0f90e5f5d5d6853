/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Requests as one script, which the server runs undisturbed: store-record.c in Lua. */
#include "proxy/store-redis.h"

#include <gnutls/crypto.h>
#include <string.h>

#define PREFIX "vcp:"

/* o owner, u held until, k is confirmed, s session id, c console, x spent until, b come back
 * until, w client; l:TYPE:ID a channel that may be opened, "" or "OWNER UNTIL".
 * Time is the server's. Numbers are the answers of VcpStoreAnswer. */
static const char script[] =
    "local key, verb, me, client, console, session = KEYS[1], unpack(ARGV, 1, 5)\n"
    "local single = ARGV[6] == '1'\n"
    "local lease, spent, back = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])\n"
    "local channel = 'l:' .. (ARGV[10] or '')\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local f = redis.call('HMGET', key, 'o', 'u', 'k', 's', 'c', 'x', 'b', 'w')\n"
    "local o, u, k = f[1] or '', tonumber(f[2] or 0), f[3] == '1'\n"
    "local s, c = f[4] or '0', f[5] or ''\n"
    "local x, b, w = tonumber(f[6] or 0), tonumber(f[7] or 0), f[8] or ''\n"
    "local held, is_spent = o ~= '' and now < u, now < x\n"
    "local function text(n) return string.format('%.0f', n) end\n"
    "local function save()\n"
    "  if math.max(u, x) <= now then redis.call('DEL', key) return end\n"
    "  redis.call('HSET', key, 'o', o, 'u', text(u), 'k', k and '1' or '0', 's', s, 'c', c,\n"
    "             'x', text(x), 'b', text(b), 'w', w)\n"
    "  redis.call('PEXPIREAT', key, text(math.max(u, x)))\n"
    "end\n"
    "local function drop()\n"
    "  redis.call('DEL', key)\n"
    "  o, u, k, s, c = '', 0, false, '0', ''\n"
    "end\n"
    "local function hold()\n"
    "  if o ~= me then drop() o = me end\n"
    "  u = now + lease\n"
    "end\n"
    "local function spend(at)\n"
    "  x, b, w = at + spent, back > 0 and at + back or 0, client\n"
    "end\n"
    "local function slot()\n"
    "  local text = redis.call('HGET', key, channel)\n"
    "  if not text then return nil end\n"
    "  local who, till = string.match(text, '^(%S+) (%d+)$')\n"
    "  return who or '', tonumber(till or 0)\n"
    "end\n"
    "if verb == 'claim' then\n"
    "  if o ~= me or not held then\n"
    "    if is_spent and not (now < b and client ~= '' and client == w) then return 2 end\n"
    "    if held then return 1 end\n"
    "  end\n"
    "  hold() save() return 0\n"
    "elseif verb == 'confirm' then\n"
    "  if o ~= me then\n"
    "    if is_spent then return 2 end\n"
    "    if held then return 1 end\n"
    "  end\n"
    "  hold()\n"
    "  k, s, c = true, session, console\n"
    "  if single then spend(u) end\n"
    "  save()\n"
    "  for i = 10, #ARGV do redis.call('HSETNX', key, 'l:' .. ARGV[i], '') end\n"
    "  return 0\n"
    "elseif verb == 'attach' then\n"
    "  if not held or not k or s == '0' then return is_spent and 2 or 3 end\n"
    "  if s ~= session or c ~= console then return 3 end\n"
    "  local who, till = slot()\n"
    "  if not who then return 4 end\n"
    "  if who ~= '' and who ~= me and now < till then return 1 end\n"
    "  redis.call('HSET', key, channel, me .. ' ' .. text(now + lease))\n"
    "  return 0\n"
    "elseif verb == 'detach' then\n"
    "  if slot() == me then redis.call('HSET', key, channel, '') end\n"
    "  return 0\n"
    "elseif verb == 'release' then\n"
    "  local anothers = held and o ~= me\n"
    "  if o == me then drop() end\n"
    "  if single and not anothers then spend(now) end\n"
    "  save() return 0\n"
    "end\n";

typedef struct {
    VcpStore store; /* first */
    VcpRedis *redis;
    char sha[41]; /* of the script */
} RedisStore;

struct VcpStoreOp {
    RedisStore *store;
    VcpRedisCall *call;
    GPtrArray *arguments; /* of the command: EVALSHA, or EVAL once the server asks for it */
    VcpStoreDone done;    /* nullable */
    gpointer data;
};

/* What makes another try later worth while: the server starts, hands over, or does not know us.
 */
static gboolean
is_passing(const char *error)
{
    static const char *const words[] = {
        "LOADING", "READONLY",  "MOVED", "ASK",     "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
        "NOAUTH",  "WRONGPASS", "BUSY",  "MISCONF", "NOREPLICAS", "UNKILLABLE"};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(error, words[i]))
            return TRUE;
    }
    return FALSE;
}

static void
free_op(VcpStoreOp *op)
{
    g_ptr_array_unref(op->arguments);
    g_free(op);
}

static void on_reply(const redisReply *reply, gpointer data);

static void
send_op(VcpStoreOp *op)
{
    op->call = vcp_redis_call(op->store->redis, (int)op->arguments->len,
                              (const char **)op->arguments->pdata, NULL, on_reply, op);
}

static void
send_script(VcpStoreOp *op)
{
    g_free(op->arguments->pdata[0]);
    g_free(op->arguments->pdata[1]);
    op->arguments->pdata[0] = g_strdup("EVAL");
    op->arguments->pdata[1] = g_strdup(script);
    send_op(op);
}

static VcpStoreAnswer
read_answer(RedisStore *self, const redisReply *reply)
{
    if (reply == NULL)
        return VCP_STORE_AWAY;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= VCP_STORE_OK &&
        reply->integer < VCP_STORE_AWAY)
        return (VcpStoreAnswer)reply->integer;
    if (reply->type != REDIS_REPLY_ERROR)
        vcp_redis_give_up(self->redis, "an answer without sense");
    else if (is_passing(reply->str))
        vcp_redis_give_up(self->redis, reply->str);
    else
        g_warning("the store refuses: %s", reply->str);
    return VCP_STORE_AWAY;
}

static void
on_reply(const redisReply *reply, gpointer data)
{
    VcpStoreOp *op = data;
    VcpStoreDone done = op->done;
    gpointer done_data = op->data;

    if (reply != NULL && reply->type == REDIS_REPLY_ERROR &&
        g_str_has_prefix(reply->str, "NOSCRIPT")) {
        send_script(op);
        return;
    }
    VcpStoreAnswer answer = read_answer(op->store, reply);
    free_op(op);
    if (done != NULL)
        done(answer, done_data);
}

static void
add_number(GPtrArray *arguments, guint64 number)
{
    g_ptr_array_add(arguments, g_strdup_printf("%" G_GUINT64_FORMAT, number));
}

static GPtrArray *
make_arguments(const RedisStore *self, const VcpStoreRequest *request)
{
    static const char *const verbs[] = {
        [VCP_STORE_CLAIM] = "claim",     [VCP_STORE_CONFIRM] = "confirm",
        [VCP_STORE_ATTACH] = "attach",   [VCP_STORE_DETACH] = "detach",
        [VCP_STORE_RELEASE] = "release",
    };
    GPtrArray *arguments = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(arguments, g_strdup("EVALSHA"));
    g_ptr_array_add(arguments, g_strdup(self->sha));
    g_ptr_array_add(arguments, g_strdup("1"));
    g_ptr_array_add(arguments, g_strconcat(PREFIX, request->key, NULL));
    g_ptr_array_add(arguments, g_strdup(verbs[request->verb]));
    g_ptr_array_add(arguments, g_strdup(request->owner));
    g_ptr_array_add(arguments, g_strdup(request->client));
    g_ptr_array_add(arguments, g_strdup(request->console));
    add_number(arguments, request->session_id);
    add_number(arguments, request->is_single);
    add_number(arguments, request->lease_ms);
    add_number(arguments, request->spent_ms);
    add_number(arguments, request->come_back_ms);
    for (guint i = 0; i < request->n_channels; i++)
        g_ptr_array_add(arguments, g_strdup_printf("%u:%u", request->channels[i].type,
                                                   request->channels[i].id));
    return arguments;
}

static VcpStoreOp *
ask(VcpStore *store, const VcpStoreRequest *request, VcpStoreDone done, gpointer data)
{
    RedisStore *self = (RedisStore *)store;
    VcpStoreOp *op = g_new0(VcpStoreOp, 1);

    op->store = self;
    op->arguments = make_arguments(self, request);
    op->done = done;
    op->data = data;
    send_op(op);
    return done != NULL ? op : NULL;
}

/* It still hears its answer: a script that the server does not know yet has to be sent. */
static void
cancel(VcpStore *store G_GNUC_UNUSED, VcpStoreOp *op)
{
    op->done = NULL;
}

static void
free_store(VcpStore *store)
{
    RedisStore *self = (RedisStore *)store;

    vcp_redis_free(self->redis);
    g_free(self);
}

static void
put_sha(char sha[41])
{
    guint8 raw[20];
    int failure = gnutls_hash_fast(GNUTLS_DIG_SHA1, script, strlen(script), raw);

    g_assert(failure == 0);
    for (gsize i = 0; i < sizeof raw; i++)
        g_snprintf(sha + 2 * i, 3, "%02x", raw[i]);
}

VcpStore *
vcp_store_redis_new(uv_loop_t *loop, const VcpStoreAddress *address,
                    VcTlsCredentials *credentials, guint64 timeout_ms)
{
    static const VcpStoreOps ops = {.ask = ask, .cancel = cancel, .free = free_store};
    RedisStore *self = g_new0(RedisStore, 1);

    self->store.ops = &ops;
    self->redis = vcp_redis_new(loop, address, credentials, timeout_ms);
    put_sha(self->sha);
    return &self->store;
}

void
vcp_store_redis_use(VcpStore *store, VcTlsCredentials *credentials)
{
    vcp_redis_use(((RedisStore *)store)->redis, credentials);
}
