"""Runs unittest modules and ends with `N passed, N failed, N skipped`.

    unittests.py FOLDER MODULE… [-k PART_OF_A_NAME]

Each test is a line with its time; what fails is printed in full.
"""

import sys
import time
import unittest


class Result(unittest.TestResult):
    """One line a test, and a count of tests that passed."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.began = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def line(self, word, test, more=""):
        name = test.id().split(".", 1)[-1]
        print(f"{word:4}  {name} ({time.monotonic() - self.began:.2f} s){more}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self.line("ok", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("SKIP", test, f": {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line("FAIL", test)
        print(self.failures[-1][1], flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self.line("FAIL", test)
        print(self.errors[-1][1], flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line("FAIL", subtest)
            kind = self.failures if issubclass(err[0], test.failureException) else self.errors
            print(kind[-1][1], flush=True)


def main():
    words = sys.argv[1:]
    loader = unittest.TestLoader()
    if "-k" in words:
        at = words.index("-k")
        loader.testNamePatterns = [f"*{words[at + 1]}*"]
        del words[at : at + 2]
    sys.path.insert(0, words[0])
    result = Result()
    suite = loader.loadTestsFromNames(words[1:])
    suite.run(result)
    # An expected failure is no pass and an unexpected success is one: nobody uses them here.
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return int(failed > 0 or result.testsRun + failed + len(result.skipped) == 0)


if __name__ == "__main__":
    sys.exit(main())
