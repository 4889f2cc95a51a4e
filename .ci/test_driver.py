"""The test driver's own tests: whatever a command does, its part cannot look better than it is."""

import contextlib
import io
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
import test as driver

OK = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n"
BAD = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n"
CARGO = ["cargo", "test", "-p", "x"]


def counted(argv, code, output):
    counts = driver.count(argv, code, output)
    return counts.passed, counts.failed, counts.skipped


class Counting(unittest.TestCase):
    def test_results_of_cargo_are_added_up(self):
        self.assertEqual(counted(CARGO, 101, OK + "…\n" + BAD), (8, 2, 1))

    def test_a_crash_counts_as_a_failure(self):
        self.assertEqual(counted(CARGO, 101, OK), (5, 1, 1))
        self.assertEqual(counted(CARGO, 101, "error: could not compile"), (0, 1, 0))
        self.assertEqual(counted(["python", "x"], -11, "3 passed, 0 failed, 0 skipped\n"), (3, 1, 0))

    def test_no_test_counts_as_a_failure(self):
        self.assertEqual(counted(CARGO, 0, "test result: ok. 0 passed; 0 failed; 0 ignored; 0 m"), (0, 1, 0))
        self.assertEqual(counted(["python", "x"], 0, "0 passed, 0 failed, 0 skipped\n"), (0, 1, 0))
        self.assertEqual(counted(["python", "x"], 0, "all is well\n"), (0, 1, 0))

    def test_scripts_count_by_their_last_line_or_exit_code(self):
        self.assertEqual(counted(["a.sh"], 0, "1 passed, 0 failed, 0 skipped\n7 passed, 0 failed, 1 skipped\n"), (7, 0, 1))
        self.assertEqual(counted(["a.sh"], 0, "done\n"), (1, 0, 0))
        self.assertEqual(counted(["a.sh"], 1, "done\n"), (0, 1, 0))

    def test_a_build_is_no_test(self):
        self.assertEqual(counted(["cargo", "build"], 0, ""), (0, 0, 0))
        self.assertEqual(counted(["cargo", "build"], 101, ""), (0, 1, 0))


class Essence(unittest.TestCase):
    def test_what_failed_is_shown_and_not_what_came_after(self):
        output = "test a ... ok\n---- b stdout ----\n\nthread 'b' panicked at x\nleft: 1\n\n" + "more\n" * 200
        self.assertEqual(driver.essence(output), ["---- b stdout ----", "", "thread 'b' panicked at x", "left: 1"])
        self.assertEqual(driver.essence("x\n" * 200), ["x"] * 60)


class Running(unittest.TestCase):
    """The whole driver over parts that are made up."""

    def drive(self, *parts, ci=False):
        needs = {"gone": (["sh", "-c", "echo missing: x >&2; exit 3"], None),
                 "place": (["echo", "12"], "{place}")}
        out = io.StringIO()
        with tempfile.TemporaryDirectory() as logs, contextlib.redirect_stdout(out), \
                mock.patch.multiple(driver, PARTS=parts, NEEDS=needs, CI=ci, LOGS=Path(logs)), \
                mock.patch.object(sys, "argv", ["test.py"]), mock.patch.dict(os.environ):
            code = driver.main()
        return code, out.getvalue()

    def test_it_goes_on_after_a_failure_and_says_so(self):
        code, out = self.drive(
            driver.Part("one", "fails", ["sh", "-c", "echo no; exit 1"]),
            driver.Part("two", "passes", ["sh", "-c", "echo 4 passed, 0 failed, 0 skipped"]),
        )
        self.assertEqual(code, 1)
        self.assertEqual(out.splitlines()[-1], "4 passed, 1 failed, 0 skipped")

    def test_what_is_missing_is_skipped_and_named_and_fails_a_ci_run(self):
        parts = [driver.Part("one", "skipped", ["false"], needs=("gone",)), driver.Part("two", "passes", ["make", "-v"])]
        code, out = self.drive(*parts)
        self.assertEqual((code, out.splitlines()[-1]), (0, "1 passed, 0 failed, 1 skipped"))
        self.assertIn("left out: one: missing: x", out)
        self.assertEqual(self.drive(*parts, ci=True)[0], 1)

    def test_a_script_that_misses_something_is_skipped_and_no_other_exit_is(self):
        missing = "echo missing: y >&2; exit "
        code, out = self.drive(driver.Part("one", "skipped", ["sh", "-c", missing + "3"]))
        self.assertEqual((code, out.splitlines()[-1]), (0, "0 passed, 0 failed, 1 skipped"))
        code, out = self.drive(driver.Part("one", "failed", ["sh", "-c", missing + "1"]))
        self.assertEqual((code, out.splitlines()[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_a_hang_is_killed_with_all_it_started(self):
        began = time.monotonic()
        code, out = self.drive(driver.Part("one", "hangs", ["sh", "-c", "sleep 60 & sleep 60"], minutes=0.02))
        self.assertEqual((code, out.splitlines()[-1]), (1, "0 passed, 1 failed, 0 skipped"))
        self.assertLess(time.monotonic() - began, 10)

    def test_places_are_filled_in(self):
        command = ["sh", "-c", 'echo "$0 passed, 0 failed, 0 skipped"', "{place}"]
        code, out = self.drive(driver.Part("one", "counts by what was set up", command, needs=("place",)))
        self.assertEqual((code, out.splitlines()[-1]), (0, "12 passed, 0 failed, 0 skipped"))

    def test_parts_run_two_at_a_time_but_for_those_that_build_the_same(self):
        meet = "touch $0; for _ in $(seq 40); do [ -e $1 ] && echo 1 passed, 0 failed, 0 skipped && exit; sleep 0.05; done; exit 1"
        for writes, passed in (((), 2), (("x",), 0)):
            with tempfile.TemporaryDirectory() as at:
                a, b = (f"{at}/{name}" for name in "ab")
                # Each waits for the other to begin, and what it made is gone at its end.
                parts = [driver.Part(one[-1], "meets", ["sh", "-c", f"trap 'sleep 0.2; rm $0' EXIT; {meet}", one, other],
                                     writes=writes) for one, other in ((a, b), (b, a))]
                _, out = self.drive(*parts)
                self.assertEqual(out.splitlines()[-1], f"{passed} passed, {2 - passed} failed, 0 skipped", out)
