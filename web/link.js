// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads what a console link says in its fragment, and makes the websockets' addresses of it.

const DEFAULT_PATH = 'websockify';

/* A part that can't be decoded stands for itself; "+" is a plus: this is a fragment, not a form. */
function decode(part) {
    try {
        return decodeURIComponent(part);
    } catch {
        return part;
    }
}

/* "#type=vnc&token=T[&path=P][&name=N]" → [{type, token, path, name}]; what the link lacks is ''.
 * The same fields once more make the next console: the first field's name begins each. */
export function parseLinks(fragment) {
    const links = [];
    let first = null;
    for (const pair of fragment.replace(/^#/, '').split('&')) {
        const [name, ...value] = pair.split('=');
        first ??= name;
        if (name === first) {
            links.push(new Map());
        }
        links.at(-1).set(name, decode(value.join('=')));
    }
    return links.map((fields) => ({
        type: fields.get('type') ?? '',
        token: fields.get('token') ?? '',
        path: fields.get('path') || DEFAULT_PATH,
        name: fields.get('name') ?? '',
    }));
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
