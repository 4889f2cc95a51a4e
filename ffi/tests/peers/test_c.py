"""The C client: what the Rust one is asked, in three files, asked of it (after .ci/build-c.sh)."""

import test_arguments
import test_backends
from harness import PROGRAMS, UNAVAILABLE, Case, backend, free_port

GREETER = [str(PROGRAMS.parents[1] / "examples" / "c" / "greeter_client")]


class Backends(test_backends.Backends):
    GREETER = GREETER


class Flags(test_arguments.Flags):
    GREETER = GREETER


class Targets(test_arguments.Targets):
    GREETER = GREETER
    test_the_demo_too = None  # which is Rust


class Configs(test_arguments.Configs):
    GREETER = GREETER


class Files(test_arguments.Files):
    GREETER = GREETER


class Faults(Case):
    GREETER = GREETER

    def test_nobody_there(self):
        outcome = self.greet([f"127.0.0.1:{free_port()}"], "--calls", 1, "--deadline-ms", 5000)
        self.assertEqual(outcome.code, UNAVAILABLE, outcome)
        self.assertTrue(outcome.err.startswith("UNAVAILABLE: "), outcome)
        self.assertEqual(outcome.json["status"], {"UNAVAILABLE": 1}, outcome)

    def test_the_backend_is_killed_in_between(self):
        """Written sockets whose peer is gone raise no SIGPIPE, which would end a C program."""
        server = backend(self.start, "b0").listening()
        wait = self.greet_behind([server.address], "--calls", 200, "--interval-ms", 5, "--deadline-ms", 2000,
                                 "--concurrency", 4)
        server.kill()
        outcome = wait()
        self.assertEqual(outcome.code, UNAVAILABLE, outcome)
        self.assertEqual(outcome.json["calls"], 200, outcome)

    def test_an_empty_name_and_a_long_one(self):
        server = backend(self.start, "b0").listening()
        for name in ("", "x" * 100_000, "\u00e9\n"):
            self.greet_ok([server.address], 3, "--name", name)
