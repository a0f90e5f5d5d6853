#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""spice-gtk (spice-client-glib) as a program: gtkclient.py PORT [PASSWORD].

Connects to 127.0.0.1, opens every channel it is told of, and prints a line for what happens:

    open TYPE ID | error TYPE ID EVENT | screen WIDTH HEIGHT | closed

A line on stdin presses and releases the key with that scancode; the end of stdin ends the session.
"""
import sys

import gi

gi.require_version("SpiceClientGLib", "2.0")
from gi.repository import GLib, GObject, SpiceClientGLib as Spice   # noqa: E402

# Session and Channel have a connect() of their own
listen = GObject.Object.connect

SCREEN_TIMEOUT_S = 60


class Client:
    def __init__(self, port, password):
        self.loop = GLib.MainLoop()
        self.inputs = None
        self.session = Spice.Session()
        self.session.set_property("host", "127.0.0.1")
        self.session.set_property("port", port)
        if password is not None:
            self.session.set_property("password", password)
        for name in ("enable-audio", "enable-usbredir", "enable-smartcard"):
            self.session.set_property(name, False)
        listen(self.session, "channel-new", self.on_channel)
        GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT,
                          GLib.IOCondition.IN | GLib.IOCondition.HUP, self.on_input)
        GLib.timeout_add_seconds(SCREEN_TIMEOUT_S, self.loop.quit)

    def run(self):
        if not self.session.connect():
            say("error 1 0 no connection")
            return
        self.loop.run()

    def on_channel(self, _session, channel):
        listen(channel, "channel-event", self.on_event)
        if isinstance(channel, Spice.DisplayChannel):
            listen(channel, "display-primary-create", lambda _channel, _format, width, height, *_:
                   say(f"screen {width} {height}"))
        if isinstance(channel, Spice.InputsChannel):
            self.inputs = channel
        if not isinstance(channel, Spice.MainChannel):
            channel.connect()

    def on_event(self, channel, event):
        kind, number = channel.get_property("channel-type"), channel.get_property("channel-id")
        if event == Spice.ChannelEvent.OPENED:
            say(f"open {kind} {number}")
            return
        if event != Spice.ChannelEvent.CLOSED:
            say(f"error {kind} {number} {event.value_nick}")
        if isinstance(channel, Spice.MainChannel):
            say("closed")
            self.loop.quit()

    def on_input(self, *_):
        line = sys.stdin.readline()
        if not line:
            self.session.disconnect()
            return False
        self.inputs.key_press_and_release(int(line))
        return True


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    Client(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None).run()
