// SPDX-License-Identifier: LGPL-2.1-or-later
// The console page: a tab for each console of the link, and the buttons of the one that is shown.

import { parseLinks } from './link.js';
import { Console } from './session.js';

/* Type of a console → what its tab says where the link has no name for it. */
const TYPE_NAMES = { vnc: 'Screen (VNC)', spice: 'Screen (SPICE)', serial: 'Serial port' };

const element = (id) => document.getElementById(id);
const ui = {
    status: element('status'),
    tabs: element('tabs'),
    stage: element('stage'),
    notice: element('notice'),
    title: element('notice-title'),
    text: element('notice-text'),
    detail: element('notice-detail'),
    reconnect: element('reconnect'),
    copy: element('copy'),
    ctrlAltDel: element('ctrl-alt-del'),
    fullscreen: element('fullscreen'),
    sendText: element('send-text'),
    textForm: element('text-form'),
    textLabel: element('text-label'),
    textArea: element('text'),
    textClose: element('text-close'),
};

let consoles = [];
let shown = null;       // the one of them on the screen

/* A console has something new: its tab shows that, and the page if it is the one on the screen. */
function changed(one) {
    one.tab.dataset.state = one.state;
    if (one === shown) {
        show();
    }
}

function show() {
    const { state, status, name, notice, closeCode, engine, link } = shown;
    const isNews = document.body.dataset.state !== state;
    document.body.dataset.state = state;
    document.body.dataset.type = link.type;
    document.title = name ? `${name} \u2013 console` : 'Console';
    if (closeCode === null) {
        delete document.body.dataset.closeCode;
    } else {
        document.body.dataset.closeCode = closeCode;
    }
    ui.status.textContent = status;
    ui.status.title = status;
    showButtons(engine);
    showNotice(notice);
    if (isNews) {
        focus();
    }
}

function showButtons(engine) {
    ui.copy.hidden = !shown.copy;
    ui.ctrlAltDel.disabled = !engine?.ctrlAltDel;
    ui.sendText.disabled = !engine?.sendText;
    ui.fullscreen.disabled = !engine;
    ui.textLabel.textContent = engine?.takesAnyText ? 'Text to type' : 'Text to type, as on a US keyboard';
    if (!engine) {
        showTextForm(false);
    }
}

function showNotice(notice) {
    ui.notice.hidden = !notice;
    if (notice) {
        ui.title.textContent = notice.title;
        ui.text.textContent = notice.text;
        ui.detail.textContent = notice.detail;
        ui.detail.hidden = !notice.detail;
        ui.reconnect.hidden = !notice.again;
    }
}

/* To the guest; without one to the notice, and not its button: what is still being typed must not press it. */
function focus() {
    if (shown.engine) {
        shown.engine.focus();
    } else if (shown.notice) {
        ui.notice.focus();
    }
}

function showTextForm(isOpen) {
    ui.textForm.hidden = !isOpen;
    ui.sendText.setAttribute('aria-expanded', String(isOpen));
}

/* Puts a console on the screen; the first time it is asked for. */
function select(one) {
    if (shown && shown !== one) {
        shown.engine?.releaseKeys?.();
    }
    shown = one;
    for (const other of consoles) {
        const isShown = other === one;
        other.screen.classList.toggle('shown', isShown);
        other.screen.inert = !isShown;
        other.tab.setAttribute('aria-selected', String(isShown));
        other.tab.tabIndex = isShown ? 0 : -1;
    }
    showTextForm(false);
    if (one.state === 'starting') {
        one.open();
    } else {
        show();
        focus();
    }
}

function makeConsole(link, number) {
    const screen = document.createElement('div');
    screen.id = `screen-${number}`;
    screen.className = 'screen';
    screen.setAttribute('role', 'application');
    screen.setAttribute('aria-keyshortcuts', 'Control+Alt+Shift+M');
    screen.setAttribute('aria-label', 'Screen of the guest; Control-Alt-Shift-M leads back to the buttons');
    ui.stage.insertBefore(screen, ui.notice);

    const one = new Console(link, screen, changed);
    one.tab = document.createElement('button');
    one.tab.type = 'button';
    one.tab.textContent = link.name || (TYPE_NAMES[link.type] ?? link.type);
    one.tab.setAttribute('role', 'tab');
    one.tab.setAttribute('aria-controls', screen.id);
    one.tab.dataset.state = one.state;
    one.tab.addEventListener('click', () => select(one));
    ui.tabs.append(one.tab);
    screen.addEventListener('click', () => one.engine?.focus());
    return one;
}

function unload() {
    for (const one of consoles) {
        one.close();
        one.screen.remove();
        one.tab.remove();
    }
    consoles = [];
    shown = null;
    document.body.dataset.state = 'starting';
}

/* Starts anew with what the link says. */
function load() {
    unload();
    consoles = parseLinks(location.hash).map(makeConsole);
    ui.tabs.hidden = consoles.length < 2;
    select(consoles[0]);
}

/* In fullscreen, where the browser can, keys like Escape and Alt-Tab belong to the guest. */
async function toggleFullscreen() {
    if (document.fullscreenElement) {
        await document.exitFullscreen();
        return;
    }
    await ui.stage.requestFullscreen();
    shown.engine?.focus();
    await navigator.keyboard?.lock?.();
}

/* What the keyboard of the text form lacks is said, not dropped in silence. */
async function sendText(one, text) {
    const { engine } = one;
    const skipped = await engine.sendText(text);
    if (skipped > 0 && one.engine === engine) {
        one.say(`Not typed: ${skipped} of the characters, which a US keyboard does not have`);
    }
}

/* Arrows go from tab to tab; Enter and Space press the one. */
ui.tabs.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
        event.preventDefault();
        const tabs = [...ui.tabs.children];
        tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length].focus();
    }
});
ui.reconnect.addEventListener('click', () => shown.open());
ui.copy.addEventListener('click', () => {
    shown.copy?.();
    focus();
});
ui.ctrlAltDel.addEventListener('click', () => {
    shown.engine?.ctrlAltDel();
    shown.engine?.focus();
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
    shown.engine?.focus();
});
ui.textForm.addEventListener('submit', (event) => {
    event.preventDefault();
    const { value } = ui.textArea;
    ui.textArea.value = '';
    showTextForm(false);
    if (shown.engine) {
        shown.engine.focus();
        sendText(shown, value);
    }
});
/* The screen takes every key; this one leads out of it, for people without a pointer. */
ui.stage.addEventListener('keydown', (event) => {
    if (event.code === 'KeyM' && event.ctrlKey && event.altKey && event.shiftKey) {
        event.preventDefault();
        event.stopPropagation();
        shown.engine?.releaseKeys?.();
        ui.sendText.focus();
    }
}, { capture: true });
window.addEventListener('hashchange', load);
/* A browser may keep a page that was left, for the way back, and its consoles would stay in use. */
window.addEventListener('pagehide', unload);
window.addEventListener('pageshow', (event) => event.persisted && load());
load();
