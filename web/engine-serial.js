// SPDX-License-Identifier: LGPL-2.1-or-later
// The engine for serial consoles: xterm.js on a websocket that carries the line's bytes both ways.

import { Terminal } from './xterm/xterm.js';

const SCROLLBACK_LINES = 5000;
const FIT_PAUSE_MS = 50;
const ACCEPTED_MS = 400;        // silent and still open for so long: a refusal would have come
/* So much is parsed at a time, and between two the page can do other things. */
const PIECE_BYTES = 64 * 1024;
const HIDDEN_PIECE_BYTES = 1024 * 1024;     // a page that nobody sees may be asked once a second only
/* More than the scrollback holds: what is left out would have scrolled away. */
const WAITING_BYTES = 4 * 1024 * 1024;

const PASTE_BEGIN = '\x1b[200~';
const PASTE_END = '\x1b[201~';
const CANCEL_SEQUENCE = '\x18';

const THEME = {
    background: '#14171c', foreground: '#e4e8ee', cursor: '#e4e8ee', selection: 'rgba(110, 168, 220, 0.4)',
    red: '#e0716c', blue: '#6ea8dc',     // readable on that background
};

/* xterm.js measures with its own styles. */
function loadStyle(address) {
    return new Promise((done, failed) => {
        const link = document.createElement('link');
        link.rel = 'stylesheet';
        link.href = new URL(address, import.meta.url);
        link.addEventListener('load', done);
        link.addEventListener('error', () => failed(new Error(`no ${address}`)));
        document.head.append(link);
    });
}

await loadStyle('./xterm/xterm.css');

/* What came and is not yet on the screen: bytes, since a character can be cut at the end of a frame.
 * A guest may print faster than a page can show; then the oldest is left out. */
class Waiting {
    constructor(write) {
        this._write = write;
        this._pieces = [];
        this._bytes = 0;
        this._hasGap = false;
        this._isBusy = false;
        this._decoder = new TextDecoder();
    }

    add(bytes) {
        this._pieces.push(bytes);
        this._bytes += bytes.length;
        while (this._bytes > WAITING_BYTES && this._pieces.length > 1) {
            this._take();
            this._hasGap = true;
        }
        if (!this._isBusy) {
            this._isBusy = true;
            this._next();
        }
    }

    _take() {
        const bytes = this._pieces.shift();
        this._bytes -= bytes.length;
        return bytes;
    }

    /* Writes one piece and comes back when xterm.js, which takes it in a task of its own, had the time for it. */
    _next() {
        if (this._pieces.length === 0) {
            this._isBusy = false;
            return;
        }
        const room = document.hidden ? HIDDEN_PIECE_BYTES : PIECE_BYTES;
        let taken = 0;
        let text = '';
        if (this._hasGap) {
            this._hasGap = false;
            this._decoder = new TextDecoder();
            text = CANCEL_SEQUENCE;
        }
        while (this._pieces.length > 0 && taken < room) {
            const bytes = this._take();
            taken += bytes.length;
            text += this._decoder.decode(bytes, { stream: true });
        }
        if (text) {
            this._write(text);
        }
        setTimeout(() => this._next());
    }
}

/* Whatever was copied somewhere cannot end the bracket by itself and go on as if it had been typed. */
function withoutEscapes(data) {
    if (!data.startsWith(PASTE_BEGIN) || !data.endsWith(PASTE_END)) {
        return data;
    }
    return PASTE_BEGIN + data.slice(PASTE_BEGIN.length, -PASTE_END.length).replaceAll('\x1b', '') + PASTE_END;
}

/* As many columns and rows as there is room for. */
function fit(terminal, place) {
    const cells = terminal.element.querySelector('.xterm-screen').getBoundingClientRect();
    const viewport = terminal.element.querySelector('.xterm-viewport');
    const scrollbar = viewport.offsetWidth - viewport.clientWidth;
    const columns = Math.floor((place.clientWidth - scrollbar) * terminal.cols / cells.width);
    const rows = Math.floor(place.clientHeight * terminal.rows / cells.height);
    if (columns >= 2 && rows >= 1 && (columns !== terminal.cols || rows !== terminal.rows)) {
        terminal.resize(columns, rows);
    }
}

/* Shows the console behind `url` in `screen`; the contract of engines is in session.js. */
export function start({ screen, url, events }) {
    const place = document.createElement('div');
    place.className = 'terminal-screen';
    screen.append(place);
    const terminal = new Terminal({
        scrollback: SCROLLBACK_LINES,
        fontFamily: '"DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace',
        fontSize: 15,
        theme: THEME,
    });
    terminal.open(place);

    const socket = new WebSocket(url, 'binary');
    const encoder = new TextEncoder();
    const waiting = new Waiting((text) => terminal.write(text));
    socket.binaryType = 'arraybuffer';
    events.socket(socket);

    /* A line that nobody reads says nothing of its own; a refusal comes soon after the websocket opened. */
    let silenceTimer = 0;
    socket.addEventListener('open', () => {
        silenceTimer = setTimeout(events.connected, ACCEPTED_MS, '; where nothing shows, press Enter');
    });
    socket.addEventListener('message', () => {
        clearTimeout(silenceTimer);
        events.connected();
    }, { once: true });
    socket.addEventListener('message', ({ data }) => {
        waiting.add(typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data));
    });

    function send(text) {
        if (socket.readyState === WebSocket.OPEN) {
            socket.send(encoder.encode(text));
        }
    }
    terminal.on('data', (data) => send(withoutEscapes(data)));

    /* What is selected, else all there is. */
    function copy() {
        const hasSelection = terminal.hasSelection();
        if (!hasSelection) {
            terminal.selectAll();
        }
        navigator.clipboard.writeText(terminal.getSelection()).catch(() => {});
        if (!hasSelection) {
            terminal.clearSelection();
        }
    }

    /* As in every terminal; without Shift these are keys for the guest. Pasting is the browser's business. */
    terminal.attachCustomKeyEventHandler((event) => {
        if (!event.ctrlKey || !event.shiftKey || event.altKey || (event.code !== 'KeyC' && event.code !== 'KeyV')) {
            return true;
        }
        if (event.code === 'KeyC') {
            event.preventDefault();
            if (event.type === 'keydown' && terminal.hasSelection()) {
                copy();
            }
        }
        return false;
    });

    let fitTimer = 0;
    const observer = new ResizeObserver(() => {
        clearTimeout(fitTimer);
        fitTimer = setTimeout(() => fit(terminal, place), FIT_PAUSE_MS);
    });
    fit(terminal, place);
    observer.observe(place);

    return {
        takesAnyText: true,
        focus: () => terminal.focus(),
        sendText: (text) => {
            send(text.replace(/\r?\n/g, '\r'));
            return 0;
        },
        copy,
        stop: () => {
            clearTimeout(silenceTimer);
            socket.close();
        },
        remove: () => {
            observer.disconnect();
            clearTimeout(fitTimer);
            terminal.destroy();
        },
    };
}
