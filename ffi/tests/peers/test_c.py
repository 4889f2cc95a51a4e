"""The C client: what the Rust one is asked, in three files, asked of it (after .ci/build-c.sh)."""

import socket

import test_arguments
import test_backends
from harness import DEADLINE_EXCEEDED, PROGRAMS, UNAVAILABLE, Case, backend, free_port, until

EXAMPLES = PROGRAMS.parents[1] / "examples" / "c"
GREETER = [str(EXAMPLES / "greeter_client")]


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


class WithoutSockets(Case):
    """sans_io_client: the library's connection, with a socket of the program's own."""

    def greet(self, address, *names):
        return self.start(EXAMPLES / "sans_io_client", address, *names)

    def test_many_at_once(self):
        server = backend(self.start, "b0").listening()
        names = [f"\u00e9{number}" for number in range(64)]
        client = self.greet(server.address, *names)
        self.assertEqual(client.process.wait(20), 0, client.output())
        self.assertEqual(sorted(client.output().splitlines()), sorted(f"Hello {name} from b0" for name in names))

    def test_the_server_is_killed_in_a_call(self):
        server = backend(self.start, "b0", 0, "--delay-ms", 10_000).listening()
        client = self.greet(server.address, "one", "two")
        until("the server is called", lambda: "called" in server.output())
        server.kill()
        self.assertEqual(client.process.wait(20), UNAVAILABLE, client.output())
        self.assertEqual(sorted(line.split(": ")[:2] for line in client.output().splitlines()),
                         [["one", "UNAVAILABLE"], ["two", "UNAVAILABLE"]], client.output())

    def test_its_deadline_passes(self):
        server = backend(self.start, "b0", 0, "--delay-ms", 10_000).listening()
        client = self.greet(server.address, "one")
        self.assertEqual(client.process.wait(20), DEADLINE_EXCEEDED, client.output())
        self.assertTrue(client.output().startswith("one: DEADLINE_EXCEEDED: "), client.output())

    def test_a_server_of_another_protocol(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = self.greet(f"127.0.0.1:{listener.getsockname()[1]}", "one")
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.assertEqual(client.process.wait(20), UNAVAILABLE, client.output())
        self.assertTrue(client.output().startswith("one: UNAVAILABLE: "), client.output())
