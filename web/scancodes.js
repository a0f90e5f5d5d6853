// SPDX-License-Identifier: LGPL-2.1-or-later
// Keys by their place on the keyboard (KeyboardEvent.code) → PC scan codes, set 1: what SPICE carries.

const RELEASED = 0x80;
const EXTENDED = 0xe0;      // comes before the code of a key that the first PC keyboards did not have

/* Keys whose codes follow each other, from the first one's code on. */
const RUNS = [
    [0x01, 'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab'],
    [0x10, 'KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft'],
    [0x1e, 'KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash'],
    [0x2c, 'KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock'],
    [0x3b, 'F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock'],
    [0x47, 'Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd'],
    [0x4f, 'Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal'],
    [0x56, 'IntlBackslash F11 F12 NumpadEqual'],
];
const SINGLES = { KanaMode: 0x70, IntlRo: 0x73, Convert: 0x79, NonConvert: 0x7b, IntlYen: 0x7d, NumpadComma: 0x7e };
const EXTENDED_KEYS = {
    NumpadEnter: 0x1c, ControlRight: 0x1d, AudioVolumeMute: 0x20, AudioVolumeDown: 0x2e, AudioVolumeUp: 0x30,
    NumpadDivide: 0x35, PrintScreen: 0x37, AltRight: 0x38, Pause: 0x46, Home: 0x47, ArrowUp: 0x48, PageUp: 0x49,
    ArrowLeft: 0x4b, ArrowRight: 0x4d, End: 0x4f, ArrowDown: 0x50, PageDown: 0x51, Insert: 0x52, Delete: 0x53,
    MetaLeft: 0x5b, MetaRight: 0x5c, ContextMenu: 0x5d,
};

function makeTable() {
    const table = new Map(Object.entries(SINGLES));
    for (const [begin, names] of RUNS) {
        names.split(' ').forEach((name, i) => table.set(name, begin + i));
    }
    Object.entries(EXTENDED_KEYS).forEach(([name, code]) => table.set(name, EXTENDED | code << 8));
    return table;
}

const TABLE = makeTable();

/* The key's bytes, the first one lowest; undefined for a key that no PC keyboard has. */
export function scancodeOf(code, isDown) {
    const scancode = TABLE.get(code);
    if (scancode === undefined || isDown) {
        return scancode;
    }
    return scancode > 0xff ? scancode | RELEASED << 8 : scancode | RELEASED;
}
