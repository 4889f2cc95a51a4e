"""gRPC's interop suite between grpc-go's programs and ours; each case is one test, both ways."""

import os
import socket
import subprocess
from pathlib import Path

from harness import PROGRAMS, Case, free_port, until

CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method",
    "unimplemented_service", "cancel_after_begin", "cancel_after_first_response",
    "timeout_on_sleeping_server", "pick_first_unary",
]
GO = Path(os.environ.get("GRPCLB_GO_INTEROP") or Path.home() / ".cache/libgrpclb/grpc-go-v1.85.0")


def go_client(port, case):
    return [GO / "client", "--server_host", "127.0.0.1", "--server_port", port, "--test_case", case]


def our_client(port, case):
    return [PROGRAMS / "interop_client", "--server_host", "127.0.0.1", "--server_port", port, "--test_case", case]


class Interop(Case):
    """The cases of one direction; the classes below fill in who talks to whom."""

    def play(self, client, case):
        argv = [str(word) for word in client(self.port, case)]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40)
        except subprocess.TimeoutExpired as hung:
            self.fail(f"{' '.join(argv)} hung:\n{hung.stdout}\n{hung.stderr}")
        self.assertEqual(done.returncode, 0, f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}")
        self.assertNotIn("panicked", done.stderr)


class GoClientOurServer(Interop):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.start_shared(PROGRAMS / "interop_server", "--port", cls.port).listening()


class OurClientGoServer(Interop):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.start_shared(GO / "server", "--port", cls.port)
        until("grpc-go's server listens", lambda: accepts(cls.port))

    def test_a_case_that_fails_is_seen(self):
        """An unknown case is an error, not a success."""
        done = self.ours("interop_client", "--server_host", "127.0.0.1", "--server_port", self.port,
                         "--test_case", "no_such_case")
        self.assertEqual(done.code, 2, done)


class GoClientThroughGateway(Interop):
    """All of it passes the gateway unharmed."""

    @classmethod
    def setUpClass(cls):
        behind = free_port()
        cls.start_shared(PROGRAMS / "interop_server", "--port", behind).listening()
        cls.port = cls.start_shared(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target",
                                    f"ipv4:127.0.0.1:{behind}").listening().port


class OurClientOurServer(Interop):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.start_shared(PROGRAMS / "interop_server", "--port", cls.port).listening()


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def fill_in():
    for case in CASES:
        name = f"test_{case}"
        setattr(GoClientOurServer, name, lambda self, case=case: self.play(go_client, case))
        setattr(OurClientOurServer, name, lambda self, case=case: self.play(our_client, case))
        setattr(GoClientThroughGateway, name, lambda self, case=case: self.play(go_client, case))
        setattr(OurClientGoServer, name, lambda self, case=case: self.play(our_client, case))


fill_in()
