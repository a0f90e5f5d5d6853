// SPDX-License-Identifier: LGPL-2.1-or-later
// The console page: reads the link, runs the engine for its type, and says what happens in words.

import { explainClose, explainRefusal, MOVED } from './close-codes.js';
import { parseLink, socketUrl } from './link.js';

/* Type of a console → the module that shows it. */
const ENGINES = {
    vnc: './engine-vnc.js',
};

const CLOSE_WAIT_MS = 3000;     // for the server's close frame once an engine has stopped
const MOVED_PAUSE_MS = 1000;    // before asking again for a console that moved
const STEADY_MS = 10000;        // connected for so long, it may move once more

const element = (id) => document.getElementById(id);
const ui = {
    status: element('status'),
    screen: element('screen'),
    stage: element('stage'),
    notice: element('notice'),
    title: element('notice-title'),
    text: element('notice-text'),
    detail: element('notice-detail'),
    reconnect: element('reconnect'),
    ctrlAltDel: element('ctrl-alt-del'),
    fullscreen: element('fullscreen'),
    sendText: element('send-text'),
    textForm: element('text-form'),
    textArea: element('text'),
    textClose: element('text-close'),
};

let session = null;     // the one on the screen; what an earlier one still reports is not heard
let hasAskedAgain = false;

function setState(state, status) {
    document.body.dataset.state = state;
    ui.status.textContent = status;
    ui.status.title = status;
    const engine = state === 'connected' ? session.engine : null;
    ui.ctrlAltDel.disabled = !engine?.ctrlAltDel;
    ui.sendText.disabled = !engine?.sendText;
    ui.fullscreen.disabled = !engine;
    if (!engine) {
        showTextForm(false);
    }
}

function showNotice(title, text, { detail = '', again = false } = {}) {
    ui.title.textContent = title;
    ui.text.textContent = text;
    ui.detail.textContent = detail;
    ui.detail.hidden = !detail;
    ui.reconnect.hidden = !again;
    ui.notice.hidden = false;
    ui.notice.focus();      // and not the button: what is still being typed must not press it
}

/* Nothing that trying again would change. */
function fail(text) {
    setState('failed', 'Cannot open a console');
    showNotice('Cannot open a console', text);
}

function showTextForm(isOpen) {
    ui.textForm.hidden = !isOpen;
    ui.sendText.setAttribute('aria-expanded', String(isOpen));
}

async function loadEngine(type) {
    if (!Object.hasOwn(ENGINES, type)) {
        fail(`This page does not know consoles of type \u201c${type}\u201d.`);
        return null;
    }
    try {
        return await import(ENGINES[type]);
    } catch {
        fail(`The viewer for ${type} consoles could not be loaded. It is missing on the server, or the connection broke.`);
        return null;
    }
}

/* The session's websockets; the end of the first one ends the session. */
function makeSocket(self, url) {
    const socket = new WebSocket(url, 'binary');
    if (!self.hasSocket) {
        self.hasSocket = true;
        socket.addEventListener('open', () => { self.hasOpened = true; });
        socket.addEventListener('close', (event) => ended(self, event.code, event.reason));
    }
    return socket;
}

function connected(self) {
    if (self !== session) {
        return;
    }
    self.steadyTimer = setTimeout(() => { hasAskedAgain = false; }, STEADY_MS);
    ui.notice.hidden = true;
    setState('connected', self.name ? `Connected to ${self.name}` : 'Connected');
    self.engine.focus();
}

function named(self, name) {
    if (self !== session) {
        return;
    }
    self.name = name;
    document.title = name ? `${name} \u2013 console` : 'Console';
    if (document.body.dataset.state === 'connected') {
        setState('connected', `Connected to ${name}`);
    }
}

async function ended(self, code, reason) {
    if (self !== session) {
        return;
    }
    session = null;
    clearTimeout(self.steadyTimer);
    clearTimeout(self.closeTimer);
    document.body.dataset.closeCode = code;
    self.engine?.stop();

    if (code === MOVED && !hasAskedAgain) {
        hasAskedAgain = true;
        setState('connecting', 'The console has moved: asking again');
        setTimeout(() => session === null && open(), MOVED_PAUSE_MS);
        return;
    }
    const why = self.hasOpened ? explainClose(code) : await explainRefusal();
    if (session !== null) {
        return;
    }
    setState('ended', `Ended: ${why.text}`);
    showNotice(self.name ? `Session with ${self.name} ended` : 'No console',
        why.text, { detail: reason ? `The proxy says: ${reason}` : self.failure, again: why.again });
}

async function open() {
    const link = parseLink(location.hash);
    const url = socketUrl(link, location);
    const self = { engine: null, hasSocket: false, hasOpened: false, name: '', failure: '',
        steadyTimer: 0, closeTimer: 0 };
    session?.engine?.stop();
    session = self;
    delete document.body.dataset.closeCode;
    ui.notice.hidden = true;

    if (!link.token) {
        fail('This link is incomplete: it carries no token.');
        return;
    }
    if (!link.type) {
        fail('This link is incomplete: it does not say which type of console to open.');
        return;
    }
    if (!url) {
        fail('This link is not valid: its path leads away from this server.');
        return;
    }
    setState('connecting', 'Connecting');
    const module = await loadEngine(link.type);
    if (!module || self !== session) {
        return;
    }
    try {
        self.engine = module.start({
            screen: ui.screen,
            openSocket: () => makeSocket(self, url),
            events: {
                connected: () => connected(self),
                named: (name) => named(self, name),
                failed: (text) => { self.failure = text; },
                stopped: () => { self.closeTimer = setTimeout(() => ended(self, 1006, ''), CLOSE_WAIT_MS); },
            },
        });
    } catch {
        fail(`The viewer for ${link.type} consoles does not work in this browser.`);
    }
}

function reopen() {
    hasAskedAgain = false;
    open();
}

/* In fullscreen, where the browser can, keys like Escape and Alt-Tab belong to the guest. */
async function toggleFullscreen() {
    if (document.fullscreenElement) {
        await document.exitFullscreen();
        return;
    }
    await ui.stage.requestFullscreen();
    session?.engine?.focus();
    await navigator.keyboard?.lock?.();
}

/* What the keyboard of the text form lacks is said, not dropped in silence. */
async function sendText(self, text) {
    const skipped = await self.engine.sendText(text);
    if (skipped > 0 && self === session) {
        ui.status.textContent = `Not typed: ${skipped} of the characters, which a US keyboard does not have`;
    }
}

ui.reconnect.addEventListener('click', reopen);
ui.screen.addEventListener('click', () => session?.engine?.focus());
ui.ctrlAltDel.addEventListener('click', () => {
    session?.engine?.ctrlAltDel();
    session?.engine?.focus();
});
ui.fullscreen.hidden = !document.fullscreenEnabled;
ui.fullscreen.addEventListener('click', () => toggleFullscreen().catch(() => {}));
ui.sendText.addEventListener('click', () => {
    showTextForm(ui.textForm.hidden);
    if (!ui.textForm.hidden) {
        ui.textArea.focus();
    }
});
ui.textClose.addEventListener('click', () => {
    showTextForm(false);
    session?.engine?.focus();
});
ui.textForm.addEventListener('submit', (event) => {
    event.preventDefault();
    const { value } = ui.textArea;
    ui.textArea.value = '';
    showTextForm(false);
    if (session?.engine) {
        session.engine.focus();
        sendText(session, value);
    }
});
/* The screen takes every key; this one leads out of it, for people without a pointer. */
ui.stage.addEventListener('keydown', (event) => {
    if (event.code === 'KeyM' && event.ctrlKey && event.altKey && event.shiftKey) {
        event.preventDefault();
        event.stopPropagation();
        session?.engine?.releaseKeys();
        ui.sendText.focus();
    }
}, { capture: true });
window.addEventListener('hashchange', reopen);
open();
