"""Starts programs, waits for their `listening on ADDR`, and ends them with the test.

Nothing here waits without a limit, and whatever a test does, no program outlives it. By hand:

    cargo build --release -p grpclb --examples
    $(.ci/setup-python.sh) .ci/unittests.py ffi/tests/peers test_backends [-k PART_OF_A_NAME]
"""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")) / "release" / "examples"
LISTENING = re.compile(r"listening on (\S+)")

# gRPC's status codes, as exit codes of our clients: 64 + code.
CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED = 65, 66, 68, 71
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 76, 77, 78, 80
RESOURCE_EXHAUSTED = 72

ROUND_ROBIN = '{"loadBalancingPolicy":"round_robin"}'


def scratch():
    """A folder that goes away with this process; holds logs and compiled messages."""
    if not hasattr(scratch, "path"):
        scratch.path = Path(tempfile.mkdtemp(prefix="grpclb-peers-"))
        atexit.register(shutil.rmtree, scratch.path, ignore_errors=True)
    return scratch.path


def messages():
    """Compiles the .proto files (once) and makes them importable, here and in what is started."""
    place = scratch() / "messages"
    if not place.exists():
        place.mkdir()
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"--python_out={place}",
             f"--grpc_python_out={place}", *map(str, HERE.glob("*.proto"))],
            check=True, timeout=60)
        sys.path.insert(0, str(place))
    return place


def free_port():
    """A port nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, seconds=20.0):
    """Waits for a condition and gives what it gave; fails in words."""
    ends = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > ends:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.005)


class Program:
    """One running program; its output is in a file."""

    def __init__(self, argv, env=None, **more):
        self.log = tempfile.NamedTemporaryFile("w+", dir=scratch(), suffix=".log")
        self.argv = [str(word) for word in argv]
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, **more)

    def output(self):
        with open(self.log.name, errors="replace") as log:
            return log.read()

    def listening(self, seconds=20.0):
        """Waits until it listens and gives the address."""

        def line():
            found = LISTENING.search(self.output())
            if found is None and self.process.poll() is not None:
                raise AssertionError(f"{self.argv} ended with {self.process.returncode}:\n{self.output()}")
            return found

        self.address = until(f"{self.argv} listens", line, seconds)[1]
        self.port = int(self.address.rpartition(":")[2])
        return self

    def kill(self):
        """At once, as a crash or a power cut."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, seconds=10.0):
        """Politely; gives the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(seconds)

    def end(self):
        """At the end of a test: it is gone, and it did not panic."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)
        text = self.output()
        self.log.close()
        if "panicked" in text:
            raise AssertionError(f"{self.argv} panicked:\n{text}")


class Outcome:
    """How a client ended."""

    def __init__(self, argv, code, out, err, seconds):
        self.argv, self.code, self.out, self.err, self.seconds = argv, code, out, err, seconds

    @property
    def json(self):
        return json.loads(self.out.strip().splitlines()[-1])

    def __str__(self):
        return f"{' '.join(self.argv)}\nexit code {self.code} after {self.seconds:.2f} s\n{self.out[-2000:]}\n{self.err[-2000:]}"


class Case(unittest.TestCase):
    """A test that starts programs."""

    # The client that `greet` runs: a program of ours by its name, or the command line of another language's.
    GREETER = "greeter_client"

    def start(self, *argv, **more):
        """Starts a program for this test."""
        program = Program(argv, **more)
        self.addCleanup(program.end)
        return program

    @classmethod
    def start_shared(cls, *argv, **more):
        """Starts a program for all tests of the class."""
        program = Program(argv, **more)
        cls.addClassCleanup(program.end)
        return program

    def server(self, *flags, program="greeter_server", **more):
        """One of our servers, listening."""
        where = ["--port", free_port()] if program == "interop_server" else ["--listen", "127.0.0.1:0"]
        return self.start(PROGRAMS / program, *where, *flags, **more).listening()

    def behind(self, program, *flags):
        """Starts one of our programs (or a command line) and gives a function that waits for its end: `wait(seconds)`."""
        command = [PROGRAMS / program] if isinstance(program, str) else program
        argv = [*map(str, command), *map(str, flags)]
        began = time.monotonic()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, errors="replace")

        def reap():
            child.kill()
            child.communicate()

        def wait(timeout=60.0):
            try:
                out, err = child.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
                self.fail(f"{' '.join(argv)} hung for {timeout} s:\n{out}\n{err}")
            outcome = Outcome(argv, child.returncode, out, err, time.monotonic() - began)
            self.assertNotIn("panicked", outcome.err, outcome)
            self.assertGreaterEqual(outcome.code, 0, f"killed by a signal: {outcome}")
            return outcome

        wait.running = lambda: child.poll() is None
        self.addCleanup(lambda: child.returncode is None and reap())
        return wait

    def ours(self, program, *flags, timeout=60.0):
        """Runs one of our programs to its end."""
        return self.behind(program, *flags)(timeout)

    def greet_behind(self, target, *flags):
        """`greeter_client --json` over a target (text, or addresses to join), not waited for."""
        if not isinstance(target, str):
            target = "ipv4:" + ",".join(target)
        return self.behind(self.GREETER, "--target", target, "--json", *flags)

    def greet(self, target, *flags, timeout=60.0):
        """The same, to its end."""
        return self.greet_behind(target, *flags)(timeout)

    def greet_ok(self, target, calls, *flags, **more):
        """As `greet`, and all calls are OK; gives the JSON."""
        outcome = self.greet(target, "--calls", calls, *flags, **more)
        self.assertEqual(outcome.code, 0, outcome)
        told = outcome.json
        self.assertEqual((told["calls"], told["status"]), (calls, {"OK": calls}), outcome)
        self.assertEqual(sum(told["peers"].values()), calls, outcome)
        return told


def backend(start, name, port=0, *flags):
    """A grpcio Greeter server as a process of its own; `start` is a test's `start` or `start_shared`."""
    return start(sys.executable, HERE / "grpcio_backend.py", "--name", name, "--port", port, *flags,
                 env={"PYTHONPATH": str(messages())})


def backends(start, count=3):
    """Some of them, started side by side."""
    started = [backend(start, f"b{number}") for number in range(count)]
    return [server.listening() for server in started]
