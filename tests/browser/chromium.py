# SPDX-License-Identifier: LGPL-2.1-or-later
"""Headless Chromium, driven through its DevTools protocol over a pipe: no port, no websocket, and a
browser that ends when this process does.

    with chromium.Browser(directory) as browser:
        page = browser.open("https://localhost:6443/console.html#...")
        page.wait("document.body.dataset.state === 'connected'", "connected")
        page.type("hello\\n")
        page.screenshot("/tmp/x/hello.png")
"""
import base64
import collections
import json
import os
import shutil
import subprocess
import threading
import time

from lab import picture

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--ignore-certificate-errors", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-default-apps", "--disable-extensions", "--no-proxy-server",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
         "--remote-debugging-pipe", "--window-size=1280,800")
ANSWER_TIMEOUT = 60

KEYS = {"\n": ("Enter", "Enter", 13, "\r"), " ": (" ", "Space", 32, " ")}

MODIFIERS = {"Alt": 1, "Control": 2, "Shift": 8}
MODIFIER_NUMBERS = {"Alt": 18, "Control": 17, "Shift": 16}

CANVAS_PIXELS = """(() => {
    const canvas = document.querySelector('.screen.shown canvas') ?? document.querySelector('canvas');
    const { width, height } = canvas;
    const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
    let text = '';
    for (let i = 0; i < data.length; i += 4) {
        text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
    }
    return { width, height, rgb: btoa(text) };
})()"""


class ChromiumError(Exception):
    pass


def program():
    """Path of the browser, or None."""
    return shutil.which("chromium")


class Browser:
    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self._log = open(os.path.join(directory, "chromium.log"), "wb")
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # DevTools over a pipe: commands on descriptor 3, answers on 4
        redirect = f'exec "$@" 3<&{commands} 4>&{answers} {commands}<&- {answers}>&-'
        environment = dict(os.environ, HOME=os.path.abspath(directory))
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "bash", "-c", redirect, "bash", program(), *FLAGS,
             f"--user-data-dir={os.path.join(os.path.abspath(directory), 'profile')}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment,
            pass_fds=[commands, answers], start_new_session=True)
        os.close(commands)
        os.close(answers)
        self._number = 0
        self._replies = {}
        self._pages = {}
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, url, width=1280, height=800):
        """A new tab of that inner size, showing url."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self._pages[session] = page
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.go(url)
        return page

    def call(self, method, session=None, **params):
        """One DevTools command; its result, or ChromiumError."""
        with self._changed:
            self._number += 1
            number = self._number
            message = {"id": number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self._commands, data):]
            if not self._changed.wait_for(lambda: number in self._replies or self._ended, ANSWER_TIMEOUT):
                raise ChromiumError(f"{method}: no answer within {ANSWER_TIMEOUT} s")
            if number not in self._replies:
                raise ChromiumError(f"{method}: the browser has ended")
            reply = self._replies.pop(number)
        if "error" in reply:
            raise ChromiumError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def close(self):
        try:
            self.call("Browser.close")
            self.process.wait(20)
        except (ChromiumError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        os.close(self._commands)
        os.close(self._answers)
        self._log.close()

    def _read(self):
        unread = b""
        while True:
            data = os.read(self._answers, 1 << 20)
            if not data:
                break
            *messages, unread = (unread + data).split(b"\0")
            with self._changed:
                for message in map(json.loads, messages):
                    self._take(message)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, message):
        if "id" in message:
            self._replies[message["id"]] = message
        elif message.get("sessionId") in self._pages:
            self._pages[message["sessionId"]].events.append(message)


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.events = collections.deque(maxlen=10000)

    def call(self, method, **params):
        return self.browser.call(method, session=self.session, **params)

    def go(self, url):
        """Leaves for another URL; back as soon as its page has begun."""
        self.call("Page.navigate", url=url)

    def back(self):
        """Returns to the page before; back as soon as that has begun."""
        history = self.call("Page.getNavigationHistory")
        self.call("Page.navigateToHistoryEntry", entryId=history["entries"][history["currentIndex"] - 1]["id"])

    def close(self):
        try:
            self.call("Page.close")
        except ChromiumError:
            pass                        # its browser has ended

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)

    def evaluate(self, expression):
        """The value of a JavaScript expression (of a promise: what it resolves to)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ChromiumError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition, what, timeout=60):
        """Until the JavaScript condition holds; while the page is loading it may throw."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                value = self.evaluate(condition)
                if value:
                    return value
                problem = value
            except ChromiumError as error:
                problem = error
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout} s; last: {problem}; page: {self.text()!r}")
            time.sleep(0.05)

    def text(self):
        """What a person reads on the page."""
        return self.evaluate("document.body.innerText")

    def click(self, selector):
        """A real click in the middle of an element."""
        box = self.evaluate(f"""(() => {{
            const box = document.querySelector({json.dumps(selector)}).getBoundingClientRect();
            return {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
        }})()""")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **box)

    def double_click(self, selector, x, y):
        """A real double click at a place inside an element."""
        box = self.evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        for count in (1, 2):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=count,
                          x=box["x"] + x, y=box["y"] + y)

    def type(self, text):
        """Types small letters, digits, spaces and line ends, key by key, wherever the focus is."""
        for char in text:
            code = "Key" + char.upper() if char.isalpha() else "Digit" + char
            key, code, number, typed = KEYS.get(char, (char, code, ord(char.upper()), char))
            common = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=typed, **common)
            self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def key(self, name):
        """A key without a character, by its name ("ArrowLeft")."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def chord(self, modifiers, key):
        """Holds modifiers ("Control", "Alt", "Shift") down, presses a letter's key, lets go."""
        held = 0
        for name in modifiers:
            held |= MODIFIERS[name]
            self._key("rawKeyDown", name, name + "Left", held)
        for kind in ("rawKeyDown", "keyUp"):
            self._key(kind, key.upper(), "Key" + key.upper(), held)
        for name in reversed(modifiers):
            held &= ~MODIFIERS[name]
            self._key("keyUp", name, name + "Left", held)

    def _key(self, kind, key, code, modifiers):
        number = MODIFIER_NUMBERS.get(key) or ord(key)
        self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, modifiers=modifiers,
                  windowsVirtualKeyCode=number)

    def canvas(self):
        """What the page's canvas shows, as a lab.picture.Picture."""
        pixels = self.evaluate(CANVAS_PIXELS)
        return picture.Picture(pixels["width"], pixels["height"], base64.b64decode(pixels["rgb"]))

    def paste(self):
        """Pastes the clipboard as the browser's own menu does, wherever the focus is."""
        self.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Paste", commands=["paste"])
        self.call("Input.dispatchKeyEvent", type="keyUp", key="Paste")

    def allow_clipboard(self):
        self.browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def screenshot(self, path):
        image = self.call("Page.captureScreenshot", format="png")
        with open(path, "wb") as out:
            out.write(base64.b64decode(image["data"]))

    def console(self):
        """All that the page and its scripts wrote to the browser's console, and uncaught errors, as text."""
        return [json.dumps(event["params"]) for event in list(self.events)
                if event["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown")]

    def complaints(self):
        """What the browser itself reports: policy violations, failed requests."""
        return [event["params"]["entry"] for event in list(self.events)
                if event["method"] == "Log.entryAdded"]
