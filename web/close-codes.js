// SPDX-License-Identifier: LGPL-2.1-or-later
// Says in words why a session ended: one row per websocket close code that the proxy sends.

/* again: a second try may go better, so the page offers one. */
const CODES = new Map([
    [1000, { again: true, text: 'The console ended the session. The guest was switched off, or closed its console.' }],
    [1001, { again: true, text: 'The console proxy is being shut down or restarted.' }],
    [1002, { again: true, text: 'The console proxy received something that does not belong to the console\u2019s protocol, and stopped.' }],
    [1005, { again: true, text: 'The viewer on this page could not make sense of what the console sent, and stopped.' }],
    [1006, { again: true, text: 'The connection to the console proxy was lost.' }],
    [1008, { again: true, text: 'An administrator ended this session.' }],
    [1011, { again: true, text: 'The console proxy had an internal error.' }],
    [4401, { again: false, text: 'This link is not valid: its token is unknown, has expired or was already used. Ask for a new link.' }],
    [4403, { again: false, text: 'The proxy\u2019s rules do not allow a connection to this console.' }],
    [4404, { again: true, text: 'There is no console to connect to. The guest is probably switched off.' }],
    [4408, { again: true, text: 'The session was idle for too long, or its time is over.' }],
    [4409, { again: true, text: 'This console is in use by somebody else.' }],
    [4410, { again: true, text: 'The console has moved to another host.' }],
    [4502, { again: true, text: 'The guest\u2019s host could not be reached, or did not accept the connection.' }],
    [4503, { again: true, text: 'The console proxy cannot check links at the moment.' }],
    [4504, { again: true, text: 'The guest\u2019s host took too long to answer.' }],
]);

export const MOVED = 4410;

/* The code of a websocket's close event → {text, again}. */
export function explainClose(code) {
    return CODES.get(code) ?? { again: true, text: `The session ended (code ${code}).` };
}

/* The same for a websocket that never opened: browsers hide the server's answer, so ask whether it is up at all. */
export async function explainRefusal() {
    let isUp = false;
    try {
        isUp = (await fetch('/healthz', { cache: 'no-store' })).ok;
    } catch {
        isUp = false;
    }
    const text = isUp
        ? 'The console proxy is running but did not let this connection in. The link may be incomplete, or too many sessions are open.'
        : 'The console proxy cannot be reached.';
    return { text, again: true };
}
