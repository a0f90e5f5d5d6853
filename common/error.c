/* SPDX-License-Identifier: LGPL-2.1-or-later
 * The table of reasons: what each means to a websocket, to HTTP, to the log and to a person. */
#include "common/error.h"

typedef struct {
    const char *name;
    guint16 close_code;
    unsigned http_status;
    GLogLevelFlags level;
    const char *reason;
} ErrorRow;

#define INFO    G_LOG_LEVEL_INFO
#define WARNING G_LOG_LEVEL_WARNING

static const ErrorRow rows[VC_N_ERRORS] = {
    [VC_ERROR_ENDED] = {"ended", 1000, 200, INFO, "The console has ended the session"},
    [VC_ERROR_SHUTDOWN] = {"shutdown", 1001, 503, INFO, "The console proxy is going down"},
    [VC_ERROR_CLIENT] =
        {"client", 1002, 400, INFO,
         "The client sent something that the console's protocol does not allow"},
    [VC_ERROR_KILLED] = {"killed", 1008, 410, INFO, "An administrator has ended the session"},
    [VC_ERROR_TOKEN] = {"token", 4401, 404, INFO, "This link is unknown or has expired"},
    [VC_ERROR_POLICY] = {"policy", 4403, 403, WARNING,
                         "This console may not be opened this way"},
    [VC_ERROR_REFUSED] = {"refused", 4404, 404, INFO,
                          "The console is not there: is the guest running?"},
    [VC_ERROR_IDLE] = {"idle", 4408, 408, INFO,
                       "The session was closed because it was idle for too long"},
    [VC_ERROR_LIMIT] = {"limit", 4408, 408, INFO,
                        "The session was closed because its time is over"},
    [VC_ERROR_IN_USE] = {"in-use", 4409, 409, INFO, "The console is in use"},
    [VC_ERROR_MOVED] = {"moved", 4410, 410, INFO, "The console has moved: ask for it again"},
    [VC_ERROR_UNREACHABLE] = {"unreachable", 4502, 502, WARNING,
                              "The hypervisor cannot be reached"},
    [VC_ERROR_CERTIFICATE] =
        {"certificate", 4502, 502, WARNING,
         "The hypervisor and the proxy do not accept each other's certificates"},
    [VC_ERROR_AUTHENTICATION] = {"authentication", 4502, 502, WARNING,
                                 "The hypervisor refused the console's password"},
    [VC_ERROR_PROTOCOL] =
        {"protocol", 4502, 502, WARNING,
         "The hypervisor answered in a way that the proxy does not understand"},
    [VC_ERROR_RESOLVER] = {"resolver", 4503, 503, WARNING,
                           "The service that knows the consoles cannot be reached"},
    [VC_ERROR_TIMEOUT] = {"timeout", 4504, 504, INFO, "The console took too long to answer"},
    [VC_ERROR_INTERNAL] = {"internal", 1011, 500, WARNING, "The console proxy failed"},
    [VC_ERROR_BAD_REQUEST] = {"bad-request", 1011, 400, INFO, "The request is not a valid one"},
    [VC_ERROR_NO_TOKEN] = {"no-token", 1011, 401, INFO, "The request carries no token"},
    [VC_ERROR_ORIGIN] = {"origin", 1011, 403, INFO,
                         "Pages of this origin may not open consoles here"},
    [VC_ERROR_NOT_FOUND] = {"not-found", 1011, 404, INFO, "There is nothing at this path"},
    [VC_ERROR_METHOD] = {"method", 1011, 405, INFO, "Only GET and HEAD are answered here"},
    [VC_ERROR_TOO_MANY] = {"too-many", 1011, 429, INFO, "Too many sessions are open already"},
    [VC_ERROR_GUESSES] = {"guesses", 1011, 429, INFO,
                          "Too many unknown links were tried from here: wait a moment"},
    [VC_ERROR_FULL] = {"full", 1011, 503, WARNING, "The proxy has as many sessions as it may"},
    [VC_ERROR_CONFIG] = {"config", 1011, 500, WARNING, "The proxy is not set up correctly"},
};

G_DEFINE_QUARK(vc - error - quark, vc_error)

static const ErrorRow *
row(VcError code)
{
    g_assert((unsigned)code < VC_N_ERRORS);
    return &rows[code];
}

VcError
vc_error_code(const GError *error)
{
    return error->domain == VC_ERROR ? (VcError)error->code : VC_ERROR_INTERNAL;
}

guint16
vc_error_close_code(VcError code)
{
    return row(code)->close_code;
}

unsigned
vc_error_http_status(VcError code)
{
    return row(code)->http_status;
}

GLogLevelFlags
vc_error_log_level(VcError code)
{
    return row(code)->level;
}

const char *
vc_error_reason(VcError code)
{
    return row(code)->reason;
}

const char *
vc_error_name(VcError code)
{
    return row(code)->name;
}
