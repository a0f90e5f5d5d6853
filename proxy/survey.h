/* SPDX-License-Identifier: LGPL-2.1-or-later
 * A question to all workers, each of which answers on its own thread. The asker is woken when
 * all have, and may give up before. */
#pragma once

#include <jansson.h>
#include <uv.h>

#include "proxy/worker.h"

typedef struct VcpSurvey VcpSurvey;

/* Asks for the sessions of all workers; with kill_id not 0, has the one with that id end in
 * place of that. wake: for the asker's loop; must stay until the workers are freed. Main
 * thread, as all that follows. */
VcpSurvey *vcp_survey_new(VcpWorker **workers, guint n_workers, guint64 kill_id,
                          uv_async_t *wake);

/* All have answered. */
gboolean vcp_survey_is_done(const VcpSurvey *self);

/* Once it is done: an array (full) of sessions by their ids, as in /status. */
json_t *vcp_survey_take_sessions(VcpSurvey *self);

/* Once it is done: the session to be killed was there. */
gboolean vcp_survey_has_killed(const VcpSurvey *self);

void vcp_survey_free(VcpSurvey *self); /* nullable; done or not */
