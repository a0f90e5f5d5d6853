# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prometheus's text format, read strictly: what it forbids fails here.

    values = metrics.parse(text)
    values['virtconsoleproxy_sessions{type="vnc",state="spliced"}']       # -> 3.0
    values.names, values.types                                            # {'virtconsoleproxy_sessions', …}
"""
import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABELS = r'\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*\}'
_SUFFIXES = ("_bucket", "_sum", "_count")


class Values(dict):
    def __init__(self):
        super().__init__()
        self.types = {}             # by metric

    @property
    def names(self):
        """Of series, without labels: those of a histogram are three."""
        return {re.match(_NAME, key)[0] for key in self}

    def sum(self, name):
        return sum(value for key, value in self.items() if re.match(_NAME, key)[0] == name)


def parse(text):
    values = Values()
    helps, current = set(), None
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    for line in text.splitlines():
        if match := re.fullmatch(rf"# HELP ({_NAME}) (.+)", line):
            _once(helps, match[1])
        elif match := re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge|histogram)", line):
            current = match[1]
            if current in values.types or current not in helps:
                raise ValueError(f"a second or lonely type: {line}")
            values.types[current] = match[2]
        elif match := re.fullmatch(rf"({_NAME}(?:{_LABELS})?) (\S+)", line):
            _check_owner(re.match(_NAME, match[1])[0], current, values.types)
            if match[1] in values:
                raise ValueError(f"twice: {line}")
            values[match[1]] = float(match[2])
        else:
            raise ValueError(f"not a line of Prometheus's: {line!r}")
    _check_histograms(values)
    return values


def _once(seen, name):
    if name in seen:
        raise ValueError(f"{name} is explained twice")
    seen.add(name)


def _check_owner(name, current, types):
    if types.get(current) == "histogram":
        names = {current + suffix for suffix in _SUFFIXES}
    else:
        names = {current}
    if name not in names:
        raise ValueError(f"{name} stands below {current}")
    if types[current] == "counter" and not name.endswith("_total"):
        raise ValueError(f"{name} is a counter without _total")


def _check_histograms(values):
    for name, kind in values.types.items():
        if kind != "histogram":
            continue
        buckets = [value for key, value in values.items() if key.startswith(name + "_bucket{")]
        if buckets != sorted(buckets) or buckets[-1] != values[name + "_count"]:
            raise ValueError(f"{name}: its buckets do not add up")
