# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts tests: reads what each run left, prints what failed or was skipped, and adds it all up.

    tally.py meson LABEL TESTLOG RESULTS     a meson-logs/testlog.json
    tally.py tap LABEL FILE RESULTS          the output of one TAP program
    tally.py fail LABEL REASON RESULTS       something that is no test and must not pass unseen
    tally.py summary RESULTS                 the last line, and the exit status

The first three add to the file RESULTS and print their own count. The points are counted here and not
taken from meson's testlog.junit.xml, because that counts a program that timed out as passed, and one
that died after its last good point as good.
"""
import json
import re
import sys

POINT = re.compile(r"(not )?ok\b[ \t]*(\d+)?[ \t]*-?[ \t]*([^#\n]*)(?:#[ \t]*(skip|todo)\S*[ \t]*(.*))?", re.IGNORECASE)
PLAN = re.compile(r"1\.\.(\d+)(?:[ \t]*#[ \t]*skip\S*[ \t]*(.*))?", re.IGNORECASE)
GOOD_PROGRAM = ("OK", "EXPECTEDFAIL")
EXIT_SKIPPED = 77
SHOWN_LINES = 25


class Tally:
    """passed: names; failed and skipped: (name, what is known of the reason)."""

    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []

    def read_tap(self, program, text, end=()):
        """Points of one program's output; True if there were any, or a plan that says why not.

        end: what to report of a program that stopped early.
        """
        planned, points, report = None, 0, None
        for line in text.splitlines():
            plan = PLAN.match(line)
            point = POINT.match(line)
            if plan:
                planned = int(plan[1])
                if planned == 0 and plan[2] is not None:
                    self.skipped.append((program, plan[2] or "no reason given"))
                elif planned == 0:
                    self.failed.append((program, ["it has no tests", *end]))
            elif point:
                points += 1
                report = None
                name = f"{program}: {point[3].strip() or point[2]}"
                directive = (point[4] or "").lower()
                if directive == "skip" and not point[1]:
                    self.skipped.append((name, point[5] or "no reason given"))
                elif point[1] and directive != "todo":
                    report = []
                    self.failed.append((name, report))
                else:
                    self.passed.append(name)
            elif report is not None:
                report.append(line)
        if planned is not None and planned != points:
            self.failed.append((program, [f"{planned} points were planned, {points} came", *end]))
        return planned is not None or points > 0

    def read_program(self, entry):
        """One line of testlog.json."""
        name = entry["name"].partition(":")[2] or entry["name"]     # without the project's
        output, result = entry.get("stdout") or "", entry["result"]
        end = (output.splitlines() + (entry.get("stderr") or "").splitlines())[-SHOWN_LINES:]
        said = [f"result {result}, exit status {entry.get('returncode')}, {entry.get('duration', 0):.0f} s", *end]
        before = len(self.failed)
        is_tap = self.read_tap(name, output, said)
        has_failed = len(self.failed) > before
        if is_tap:
            if result not in (*GOOD_PROGRAM, "SKIP") and not has_failed:
                self.failed.append((name, said))
        elif result in GOOD_PROGRAM:
            self.passed.append(name)
        elif result == "SKIP" and entry.get("returncode") == EXIT_SKIPPED:
            self.skipped.append((name, (end or ["no reason given"])[-1]))
        else:
            self.failed.append((name, said))

    def line(self):
        text = f"{len(self.passed)} passed, {len(self.failed)} failed"
        return text + f", {len(self.skipped)} skipped" if self.skipped else text


def add(label, tally, results):
    print(tally.line(), flush=True)
    for name, report in tally.failed:
        print(f"  FAILED {label}: {name}")
        for line in report[:SHOWN_LINES]:
            print(f"    {line}")
    record = {"label": label, "passed": len(tally.passed), "failed": [name for name, _ in tally.failed],
              "skipped": tally.skipped}
    with open(results, "a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")


def read_lines(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as source:
            return source.read()
    except FileNotFoundError:
        return ""


def read_meson(label, path):
    tally = Tally()
    text = read_lines(path)
    for line in text.splitlines():
        tally.read_program(json.loads(line))
    if not text:
        tally.failed.append((label, ["no test ran"]))
    return tally


def read_one_tap(label, path):
    tally = Tally()
    if not tally.read_tap(label, read_lines(path)):
        tally.failed.append((label, ["no test ran"]))
    return tally


def one_failure(label, reason):
    tally = Tally()
    tally.failed.append((label, [reason]))
    return tally


def summary(results):
    records = [json.loads(line) for line in read_lines(results).splitlines()]
    passed = sum(record["passed"] for record in records)
    failed = [f"{record['label']}: {name}" for record in records for name in record["failed"]]
    skipped = [(f"{record['label']}: {name}", reason) for record in records for name, reason in record["skipped"]]
    if skipped:
        print("\nSkipped:")
        for name, reason in skipped:
            print(f"  {name}: {reason}")
    if failed:
        print("\nFailed:")
        for name in failed:
            print(f"  {name}")
    print(f"\n{passed} passed, {len(failed)} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or passed == 0 else 0


def main():
    kind, *arguments, results = sys.argv[1:]
    if kind == "summary":
        return summary(results)
    label, source = arguments
    read = {"meson": read_meson, "tap": read_one_tap, "fail": one_failure}[kind]
    add(label, read(label, source), results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
