"""The scenarios of core/tests/scenarios through each language's own picker: all print the same octets.

A language is one line in LANGUAGES: the command, to which the scenario's file is added, and where it is run.
"""

import difflib
import subprocess
import sys
import unittest

from harness import PROGRAMS, TOP, scratch

SCENARIOS = TOP / "core" / "tests" / "scenarios"

LANGUAGES = {
    "rust": ([PROGRAMS / "scenario"], TOP),
    "c": ([PROGRAMS.parents[1] / "examples" / "c" / "scenario"], TOP),
    "go": ([PROGRAMS.parents[1] / "examples" / "go" / "scenario"], TOP),
    "python": (["env", f"PYTHONPATH={PROGRAMS.parents[1] / 'python'}", sys.executable, "-m", "grpclb.examples.scenario"], TOP),
    "node": (["sh", "-c", '"$(.ci/setup-node.sh)" wasm/examples/scenario.mjs "$0"'], TOP),
}


def run(language, file):
    command, folder = LANGUAGES[language]
    return subprocess.run([*map(str, command), str(file)], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120)


class Scenarios(unittest.TestCase):
    """A test for each language and scenario, made below."""

    def check(self, language, file):
        expected = file.with_suffix(".txt").read_bytes()
        done = run(language, file)
        if (done.returncode, done.stdout) != (0, expected):
            lines = [text.decode(errors="replace").splitlines() for text in (expected, done.stdout)]
            diff = "\n".join(difflib.unified_diff(*lines, "expected", language, lineterm=""))
            octets = "" if diff else f"\nline ends differ: {expected[-20:]} {done.stdout[-20:]}"
            self.fail(f"exit code {done.returncode}\n{diff}{octets}\n{done.stderr.decode(errors='replace')}")

    def check_refusals(self, language):
        """A file that is no scenario, or none at all: exit code 2, and why on standard error."""
        for number, text in enumerate(["", "{}", '{"seed": 1, "position": 0, "steps": [{"do": "dance"}]}', None]):
            with self.subTest(text=text):
                file = scratch() / f"no-scenario-{number}.json"
                if text is not None:
                    file.write_text(text)
                done = run(language, file)
                self.assertEqual(done.returncode, 2, done)
                self.assertTrue(done.stderr.strip(), done)


def test(check, *words):
    return lambda self: getattr(self, check)(*words)


FILES = sorted(SCENARIOS.glob("*.json"))
assert len(FILES) >= 12, FILES
for name in LANGUAGES:
    setattr(Scenarios, f"test_{name}_refuses_what_is_none", test("check_refusals", name))
    for path in FILES:
        setattr(Scenarios, f"test_{name}_{path.stem}", test("check", name, path))
