// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine for VNC consoles: noVNC on a websocket that the page opened.

import RFB from './novnc/core/rfb.js';
import { keysOf } from './us-keyboard.js';

const KEYSYM_SHIFT = 0xffe1;
const KEY_PAUSE_MS = 15; // a guest's keyboard queue is short

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

/* Shows the console behind `url` in `screen`; the contract of engines is in session.js. */
export function start({ screen, url, events }) {
    const socket = new WebSocket(url, 'binary');
    events.socket(socket);
    const rfb = new RFB(screen, socket, { shared: true });
    rfb.scaleViewport = true;
    rfb.background = 'transparent';

    let isLive = true;
    rfb.addEventListener('connect', () => events.connected());
    rfb.addEventListener('desktopname', (event) => events.named(event.detail.name));
    rfb.addEventListener('securityfailure', (event) => {
        events.failed(event.detail.reason ? `The console says: ${event.detail.reason}` : '');
    });
    rfb.addEventListener('credentialsrequired', () => {
        events.failed('The console asks this page for a password, which the proxy should answer itself.');
        rfb.disconnect();
    });
    rfb.addEventListener('disconnect', () => {
        isLive = false;
        events.stopped();
    });

    /* → how many characters it could not type */
    async function sendText(text) {
        const { keys, skipped } = keysOf(text);
        for (const { code, keysym, shift } of keys) {
            if (!isLive) {
                break;
            }
            if (shift) {
                rfb.sendKey(KEYSYM_SHIFT, 'ShiftLeft', true);
            }
            rfb.sendKey(keysym, code);
            if (shift) {
                rfb.sendKey(KEYSYM_SHIFT, 'ShiftLeft', false);
            }
            await pause(KEY_PAUSE_MS);
        }
        return skipped;
    }

    return {
        focus: () => rfb.focus(),
        releaseKeys: () => window.dispatchEvent(new Event('blur')), // noVNC then lets go of all keys
        ctrlAltDel: () => rfb.sendCtrlAltDel(),
        sendText,
        stop: () => isLive && rfb.disconnect(),
    };
}
