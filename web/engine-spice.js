// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine for SPICE consoles: spice-html5, which opens a websocket for each of the session's channels.

import { Constants } from './spice-html5/enums.js';
import { SpiceDisplayConn } from './spice-html5/display.js';
import { SpiceMainConn } from './spice-html5/main.js';
import { SpiceConn } from './spice-html5/spiceconn.js';
import { SpiceMiniData, SpiceMsgcKeyDown } from './spice-html5/spicemsg.js';
import { Constants as WebmConstants } from './spice-html5/webm.js';
import { scancodeOf } from './scancodes.js';
import { keysOf } from './us-keyboard.js';

const KEY_PAUSE_MS = 15;        // a guest's keyboard queue is short
const MAIN_END_WAIT_MS = 1000;  // the main channel's end says more than that of another one
const RESIZE_PAUSE_MS = 300;
const SIZE_STEP = 8;            // guests take widths and heights in such steps

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
let sessions = 0;

/* spice-html5 writes its websocket's URL, and so the token, to the browser's console. */
for (const name of ['log_info', 'log_warn', 'log_err']) {
    SpiceConn.prototype[name] = () => {};
}
/* Of 256 tickets one begins with a zero, which spice-html5 leaves out; the server then refuses it. */
const sendTicket = SpiceConn.prototype.send_ticket;
SpiceConn.prototype.send_ticket = function sendWholeTicket(ticket) {
    const zeros = new Array(Constants.SPICE_TICKET_KEY_PAIR_LENGTH / 8 - ticket.length).fill(0);
    sendTicket.call(this, [...zeros, ...ticket]);
};
/* VP8 streams would be placed by a style attribute, which the page's policy forbids: these servers then send MJPEG. */
WebmConstants.SPICE_VP8_CODEC = 'video/none';
/* The original asks the document for a number that two consoles of one page share. */
SpiceDisplayConn.prototype.delete_surface = function deleteSurface(id) {
    if (id === this.primary_surface) {
        this.unhook_events();
        this.primary_surface = undefined;
    }
    this.surfaces[id]?.canvas.remove();
    delete this.surfaces[id];
};

/* spice-html5 shows a box for each key that it does not know, and goes by the letter on it: here the key's place counts. */
class Keyboard {
    constructor(main, place) {
        this._main = main;
        this._held = new Set();
        place.addEventListener('keydown', (event) => this._take(event, true), { capture: true });
        place.addEventListener('keyup', (event) => this._take(event, false), { capture: true });
        place.addEventListener('focusout', () => this.release());
    }

    press(code) {
        this._send(code, true);
    }

    release(code) {
        for (const one of code ? [code] : [...this._held]) {
            this._send(one, false);
        }
    }

    _take(event, isDown) {
        event.stopPropagation();
        event.preventDefault();
        if (isDown || this._held.has(event.code)) {
            this._send(event.code, isDown);
        }
    }

    _send(code, isDown) {
        const { inputs } = this._main;
        const scancode = scancodeOf(code, isDown);
        if (scancode === undefined || inputs?.state !== 'ready') {
            return;
        }
        if (isDown) {
            this._held.add(code);
        } else {
            this._held.delete(code);
        }
        const key = new SpiceMsgcKeyDown();
        const message = new SpiceMiniData();
        key.code = scancode;
        message.build_msg(isDown ? Constants.SPICE_MSGC_INPUTS_KEY_DOWN : Constants.SPICE_MSGC_INPUTS_KEY_UP, key);
        inputs.send_msg(message);
    }
}

/* As large as the stage allows and in its middle. Mouse events count in the canvas's own pixels all the same. */
function fit(screen, place) {
    const canvas = place.querySelector('canvas');
    if (!canvas) {
        return;
    }
    const scale = Math.min(screen.clientWidth / canvas.width, screen.clientHeight / canvas.height);
    const left = Math.max(0, (screen.clientWidth - canvas.width * scale) / 2);
    const top = Math.max(0, (screen.clientHeight - canvas.height * scale) / 2);
    place.style.transform = `translate(${left}px, ${top}px) scale(${scale})`;
}

function afterMessages(channel, handler) {
    const process = channel.process_channel_message;
    channel.process_channel_message = (message) => {
        const isKnown = process.call(channel, message);
        handler();
        return isKnown;
    };
}

/* What spice-html5 says of an end, for people. */
function explain(message) {
    switch (message) {
    case 'Permission denied.':
    case 'Bad password.':
        return 'The console asks this page for a password, which the proxy should answer itself.';
    case 'Connection timed out.':
        return 'The console did not answer in time.';
    default:
        return '';
    }
}

/* Shows the console behind `url` in `screen`; the contract of engines is in session.js. */
export function start({ screen, url, events }) {
    const place = document.createElement('div');
    place.id = `spice-${sessions += 1}`;
    place.className = 'spice-screen';
    screen.append(place);

    let isLive = true;
    const main = new SpiceMainConn({
        uri: url.href,
        screen_id: place.id,
        password: '',
        onerror: (error) => {
            if (isLive) {
                events.failed(explain(error.message));
                events.stopped();
            }
        },
        onagent: () => askForSize(),
    });
    const keyboard = new Keyboard(main, place);
    events.socket(main.ws);

    let fitted = null;      // a guest's other size comes with another canvas

    /* A session without a picture or without keys has ended, though its main channel may not know. */
    function watch(channel) {
        if (!channel || channel.isWatched) {
            return;
        }
        channel.isWatched = true;
        channel.ws.addEventListener('close', async (event) => {
            await pause(MAIN_END_WAIT_MS);
            events.ended(event.code, event.reason);
        });
        afterMessages(channel, () => {
            const canvas = place.querySelector('canvas');
            if (canvas !== fitted) {
                fitted = canvas;
                fit(screen, place);
            }
            sayConnected();
        });
    }

    /* There is a picture, and keys arrive: of what the guest has. */
    let isConnected = false;
    function sayConnected() {
        if (isLive && !isConnected && fitted && (!main.inputs || main.inputs.state === 'ready')) {
            isConnected = true;
            events.connected();
        }
    }

    afterMessages(main, () => {
        watch(main.display);
        watch(main.inputs);
    });

    /* A guest with an agent takes on the window's size. */
    let sizeTimer = 0;
    function askForSize() {
        clearTimeout(sizeTimer);
        sizeTimer = setTimeout(() => {
            const width = screen.clientWidth - screen.clientWidth % SIZE_STEP;
            const height = screen.clientHeight - screen.clientHeight % SIZE_STEP;
            if (isLive && main.agent_connected) {
                main.resize_window(0, width, height, 32, 0, 0);
            }
        }, RESIZE_PAUSE_MS);
    }
    const observer = new ResizeObserver(() => {
        fit(screen, place);
        askForSize();
    });
    observer.observe(screen);

    /* The keyboard follows the page, not the mouse: spice-html5 drops the focus where the pointer leaves the picture. */
    for (const name of ['mouseover', 'mouseout']) {
        place.addEventListener(name, (event) => event.stopPropagation(), { capture: true });
    }

    /* → how many characters it could not type */
    async function sendText(text) {
        const { keys, skipped } = keysOf(text);
        for (const { code, shift } of keys) {
            if (!isLive) {
                break;
            }
            const chord = shift ? ['ShiftLeft', code] : [code];
            chord.forEach((one) => keyboard.press(one));
            chord.reverse().forEach((one) => keyboard.release(one));
            await pause(KEY_PAUSE_MS);
        }
        return skipped;
    }

    return {
        focus: () => place.querySelector('canvas')?.focus({ preventScroll: true }),
        releaseKeys: () => keyboard.release(),
        ctrlAltDel: () => {
            const chord = ['ControlLeft', 'AltLeft', 'Delete'];
            chord.forEach((one) => keyboard.press(one));
            chord.reverse().forEach((one) => keyboard.release(one));
        },
        sendText,
        stop: () => {
            isLive = false;
            observer.disconnect();
            clearTimeout(sizeTimer);
            stopAll(main);
            place.remove();
        },
    };
}

/* spice-html5 does not expect a session that ends half-way, nor one that ends twice. */
function stopAll(main) {
    const channels = [main, main.display, main.inputs, main.cursor, ...main.ports, ...Object.values(main.extra_channels ?? {})];
    for (const channel of channels) {
        if (channel) {
            channel.state = 'closing';
            channel.cleanup();
        }
    }
}
