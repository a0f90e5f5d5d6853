# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a test file's unittest cases and reports them as TAP: one point per test method.

    if __name__ == "__main__":
        tap.main()

Arguments name classes or methods to run (`TestHostile.test_mask`); none: all. What failed and the end
of each daemon's log follow a failed point as diagnostics.
"""
import faulthandler
import sys
import time
import traceback
import unittest

from . import program

TEST_TIMEOUT = 240        # a test that hangs: its stack is printed and the program ends


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.points = 0

    def startTest(self, test):
        super().startTest(test)
        self._begin = time.monotonic()
        self._daemons = len(program.started)
        self._problems = []
        faulthandler.dump_traceback_later(TEST_TIMEOUT, exit=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        if self._problems:
            self._point("not ok", test)
            for problem in self._problems:
                diagnose(problem)
            self._daemon_logs()
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        if not self._problems:           # of subtests
            self._point("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._point("ok", test, f" # SKIP {reason}")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._problems.append(_text(error))

    def addError(self, test, error):
        super().addError(test, error)
        if hasattr(test, "_testMethodName"):
            self._problems.append(_text(error))
        else:                            # setUpClass or the module: no test method is to blame
            self._begin = time.monotonic()
            self._point("not ok", test)
            diagnose(_text(error))

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._problems.append(f"{subtest._subDescription()}\n{_text(error)}")

    def _point(self, verdict, test, remark=""):
        self.points += 1
        seconds = time.monotonic() - self._begin
        name = ".".join(test.id().split(".")[-2:])
        print(f"{verdict} {self.points} - {name}{remark or f' ({seconds:.1f} s)'}", flush=True)

    def _daemon_logs(self):
        for one in program.started:
            if one.is_alive() or program.started.index(one) >= self._daemons:
                diagnose(f"log of the daemon, pid {one.process.pid}:\n{one.tail()}")


def diagnose(text):
    for line in text.splitlines():
        print(f"# {line}", flush=True)


def _text(error):
    return "".join(traceback.format_exception(*error))


def main():
    module = sys.modules["__main__"]
    loader = unittest.TestLoader()
    names = sys.argv[1:]
    suite = (loader.loadTestsFromNames(names, module) if names
             else loader.loadTestsFromModule(module))
    result = TapResult()
    print("TAP version 13")
    suite.run(result)
    print(f"1..{result.points}")
    sys.exit(0 if result.wasSuccessful() else 1)
