// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads what a console link says in its fragment, and makes the websocket's address of it.

const DEFAULT_PATH = 'websockify';

/* A part that can't be decoded stands for itself; "+" is a plus: this is a fragment, not a form. */
function decode(part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

/* "#type=vnc&token=T[&path=P]" → {type, token, path}; what the link lacks is ''. */
export function parseLink(fragment) {
    const fields = new Map();
    for (const pair of fragment.replace(/^#/, '').split('&')) {
        const [name, ...value] = pair.split('=');
        fields.set(name, decode(value.join('=')));
    }
    return {
        type: fields.get('type') ?? '',
        token: fields.get('token') ?? '',
        path: fields.get('path') || DEFAULT_PATH,
    };
}

/* The websocket's URL on the page's own origin, or null if the path leads anywhere else. */
export function socketUrl(link, page) {
    let url;
    try {
        url = new URL(link.path, page.origin + '/');
    } catch {
        return null;
    }
    if (url.origin !== page.origin) {
        return null;
    }
    url.protocol = page.protocol === 'https:' ? 'wss:' : 'ws:';
    url.hash = '';
    url.search += (url.search ? '&' : '?') + 'token=' + encodeURIComponent(link.token);
    return url;
}
