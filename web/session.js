// SPDX-License-Identifier: LGPL-2.1-or-later
// One console of the page: runs the engine for its type, and says what happens in words.

import { explainClose, explainRefusal, MOVED } from './close-codes.js';
import { socketUrl } from './link.js';

/* Type of a console → the module that shows it.
 *
 * start({screen, url, events}) shows the console behind the websocket's url in the element screen. events:
 *   socket(websocket)    its end is the session's end; once, and at once
 *   connected(hint)      hint: more for the status line, or nothing; again where that changes
 *   named(text)          what the guest calls itself
 *   failed(text)         a sentence on why the engine gave up; the websocket's end is to follow
 *   stopped()            no more will come; the proxy's close code still may
 *   ended(code, reason)  the session's end where not the websocket tells it
 * It returns focus(), stop() and what the page's buttons do, without what the console does not have:
 * sendText(text) → how many characters it could not type (takesAnyText: none), ctrlAltDel(), copy(), releaseKeys();
 * remove() where something stays on the screen after stop(). */
const ENGINES = {
    vnc: './engine-vnc.js',
    spice: './engine-spice.js',
    serial: './engine-serial.js',
};

const CLOSE_WAIT_MS = 3000;     // for the server's close frame once an engine has stopped
const MOVED_PAUSE_MS = 1000;    // before asking again for a console that moved
const STEADY_MS = 10000;        // connected for so long, it may move once more

/* What a person sees of it is in state, status, name, notice and closeCode; changed() says that they are new. */
export class Console {
    /* screen: the element in which it is shown. */
    constructor(link, screen, changed) {
        this.link = link;
        this.screen = screen;
        this.state = 'starting';    // starting, connecting, connected, ended, failed
        this.status = 'Starting';
        this.name = link.name;      // or the guest's own, once it is known
        this.notice = null;         // {title, text, detail, again: trying again may help}
        this.closeCode = null;
        this._changed = changed;
        this._attempt = null;       // what an earlier one still reports is not heard
        this._engine = null;        // the one on the screen, even after its end
        this._hint = '';
        this._hasAskedAgain = false;
    }

    /* What the page's buttons act on, or null. */
    get engine() {
        return this.state === 'connected' ? this._engine : null;
    }

    /* Puts what it shows into the clipboard, or null; also after the end. */
    get copy() {
        return this._engine?.copy ?? null;
    }

    /* Asks the proxy for the console, at first or once more. */
    open() {
        this._hasAskedAgain = false;
        this._open();
    }

    /* For good: nothing of it is left on the screen. */
    close() {
        this._attempt = null;
        this._clear();
    }

    /* A word on what just happened, until the state changes. */
    say(status) {
        this.status = status;
        this._changed(this);
    }

    async _open() {
        const { link } = this;
        const url = socketUrl(link, location);
        const attempt = { hasOpened: false, wasConnected: false, failure: '', steadyTimer: 0, closeTimer: 0 };
        this._clear();
        this._attempt = attempt;
        this.closeCode = null;
        if (!link.token) {
            this._fail('This link is incomplete: it carries no token.');
            return;
        }
        if (!link.type) {
            this._fail('This link is incomplete: it does not say which type of console to open.');
            return;
        }
        if (!url) {
            this._fail('This link is not valid: its path leads away from this server.');
            return;
        }
        this._set('connecting', 'Connecting');
        const module = await this._loadEngine();
        if (!module || attempt !== this._attempt) {
            return;
        }
        try {
            this._engine = module.start({ screen: this.screen, url, events: this._eventsOf(attempt) });
        } catch {
            this._fail(`The viewer for ${link.type} consoles does not work in this browser.`);
        }
    }

    async _loadEngine() {
        const { type } = this.link;
        if (!Object.hasOwn(ENGINES, type)) {
            this._fail(`This page does not know consoles of type \u201c${type}\u201d.`);
            return null;
        }
        try {
            return await import(ENGINES[type]);
        } catch {
            this._fail(`The viewer for ${type} consoles could not be loaded. It is missing on the server, or the connection broke.`);
            return null;
        }
    }

    /* What an engine tells; each is heard only while its attempt is the console's. */
    _eventsOf(attempt) {
        const heard = (handler) => (...what) => attempt === this._attempt && handler(...what);
        return {
            /* The websocket whose end is the session's. */
            socket: (socket) => {
                socket.addEventListener('open', () => { attempt.hasOpened = true; });
                socket.addEventListener('close', heard((event) => this._end(event.code, event.reason)));
            },
            connected: heard((hint = '') => {
                clearTimeout(attempt.steadyTimer);
                attempt.steadyTimer = setTimeout(() => { this._hasAskedAgain = false; }, STEADY_MS);
                attempt.wasConnected = true;
                this._hint = hint;
                this._set('connected', this._connectedTo());
            }),
            named: heard((name) => {
                this.name = name;
                this.say(this.state === 'connected' ? this._connectedTo() : this.status);
            }),
            failed: (text) => { attempt.failure = text; },
            stopped: heard(() => { attempt.closeTimer = setTimeout(heard(() => this._end(1006, '')), CLOSE_WAIT_MS); }),
            ended: heard((code, reason) => this._end(code, reason)),
        };
    }

    async _end(code, reason) {
        const attempt = this._attempt;
        this._attempt = null;
        clearTimeout(attempt.steadyTimer);
        clearTimeout(attempt.closeTimer);
        this.closeCode = code;
        this._engine?.stop();
        if (code === MOVED && !this._hasAskedAgain) {
            this._hasAskedAgain = true;
            this._set('connecting', 'The console has moved: asking again');
            const again = this._attempt = {};
            setTimeout(() => again === this._attempt && this._open(), MOVED_PAUSE_MS);
            return;
        }
        const waiting = this._attempt = {};
        const why = attempt.hasOpened ? explainClose(code) : await explainRefusal();
        if (waiting !== this._attempt) {
            return;
        }
        this._set('ended', `Ended: ${why.text}`, {
            title: this._endTitle(attempt),
            text: why.text,
            detail: reason ? `The proxy says: ${reason}` : attempt.failure,
            again: why.again,
        });
    }

    /* Nothing that trying again would change. */
    _fail(text) {
        this._set('failed', 'Cannot open a console', { title: 'Cannot open a console', text, detail: '', again: false });
    }

    _endTitle(attempt) {
        if (!attempt.wasConnected) {
            return 'No console';
        }
        return this.name ? `Session with ${this.name} ended` : 'Session ended';
    }

    _connectedTo() {
        return (this.name ? `Connected to ${this.name}` : 'Connected') + this._hint;
    }

    _set(state, status, notice = null) {
        this.state = state;
        this.status = status;
        this.notice = notice;
        this._changed(this);
    }

    _clear() {
        this._engine?.stop();
        this._engine?.remove?.();
        this._engine = null;
        this._hint = '';
        this.name = this.link.name;
        this.screen.replaceChildren();
    }
}
