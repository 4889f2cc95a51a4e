"""The Python clients, on threads and on an event loop: what the Rust one is asked (after make python)."""

import os
import sys

import test_arguments
import test_backends
from harness import PROGRAMS, UNAVAILABLE, Case, backend, free_port

os.environ["PYTHONPATH"] = os.environ.get("GRPCLB_PYTHON", str(PROGRAMS.parents[1] / "python"))
GREETER = [sys.executable, "-m", "grpclb.examples.greeter_client"]
AIO = [*GREETER, "--aio"]


class Backends(test_backends.Backends):
    GREETER = GREETER


class BackendsAio(test_backends.Backends):
    GREETER = AIO


class Flags(test_arguments.Flags):
    GREETER = GREETER


class Targets(test_arguments.Targets):
    GREETER = GREETER
    test_the_demo_too = None  # which is Rust


class Configs(test_arguments.Configs):
    GREETER = GREETER


class ConfigsAio(test_arguments.Configs):
    GREETER = AIO


class Files(test_arguments.Files):
    GREETER = GREETER


class Faults(Case):
    def test_nobody_there(self):
        for self.GREETER in (GREETER, AIO):
            outcome = self.greet([f"127.0.0.1:{free_port()}"], "--calls", 1, "--deadline-ms", 5000)
            self.assertEqual(outcome.code, UNAVAILABLE, outcome)
            self.assertTrue(outcome.err.startswith("UNAVAILABLE: "), outcome)
            self.assertEqual(outcome.json["status"], {"UNAVAILABLE": 1}, outcome)

    def test_the_backend_is_killed_in_between(self):
        for self.GREETER in (GREETER, AIO):
            server = backend(self.start, "b0").listening()
            wait = self.greet_behind([server.address], "--calls", 400, "--interval-ms", 10, "--deadline-ms", 2000,
                                     "--concurrency", 4)
            server.kill()
            outcome = wait()
            self.assertEqual(outcome.code, UNAVAILABLE, outcome)
            self.assertEqual(outcome.json["calls"], 400, outcome)

    def test_an_empty_name_and_a_long_one(self):
        server = backend(self.start, "b0").listening()
        for self.GREETER in (GREETER, AIO):
            for name in ("", "x" * 100_000, "\u00e9\n"):
                self.greet_ok([server.address], 3, "--name", name)
