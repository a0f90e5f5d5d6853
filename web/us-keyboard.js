// SPDX-License-Identifier: LGPL-2.1-or-later
// Turns a text into the keys that type it on a US keyboard, the layout that guests start with.

const PLAIN = {
    Backquote: '`', Minus: '-', Equal: '=', BracketLeft: '[', BracketRight: ']', Backslash: '\\',
    Semicolon: ';', Quote: "'", Comma: ',', Period: '.', Slash: '/', Space: ' ',
};
const SHIFTED = {
    Backquote: '~', Minus: '_', Equal: '+', BracketLeft: '{', BracketRight: '}', Backslash: '|',
    Semicolon: ':', Quote: '"', Comma: '<', Period: '>', Slash: '?',
    Digit1: '!', Digit2: '@', Digit3: '#', Digit4: '$', Digit5: '%', Digit6: '^', Digit7: '&',
    Digit8: '*', Digit9: '(', Digit0: ')',
};
const KEYSYM_TAB = 0xff09;
const KEYSYM_RETURN = 0xff0d;

/* Latin-1 characters are their own keysym. */
function makeTable() {
    const table = new Map([
        ['\n', { code: 'Enter', keysym: KEYSYM_RETURN, shift: false }],
        ['\t', { code: 'Tab', keysym: KEYSYM_TAB, shift: false }],
    ]);
    const add = (char, code, shift) => table.set(char, { code, keysym: char.charCodeAt(0), shift });
    for (const letter of 'abcdefghijklmnopqrstuvwxyz') {
        add(letter, 'Key' + letter.toUpperCase(), false);
        add(letter.toUpperCase(), 'Key' + letter.toUpperCase(), true);
    }
    for (const digit of '0123456789') {
        add(digit, 'Digit' + digit, false);
    }
    Object.entries(PLAIN).forEach(([code, char]) => add(char, code, false));
    Object.entries(SHIFTED).forEach(([code, char]) => add(char, code, true));
    return table;
}

const TABLE = makeTable();

/* → {keys: [{code, keysym, shift}], skipped: number of characters that this keyboard doesn't have}. */
export function keysOf(text) {
    const chars = Array.from(text.replace(/\r\n?/g, '\n'));
    const keys = chars.map((char) => TABLE.get(char)).filter((key) => key);
    return { keys, skipped: chars.length - keys.length };
}
