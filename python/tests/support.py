"""Servers and messages for the tests of the Python package. By hand:

    make python && cargo build --release -p grpclb --examples
    $(.ci/setup-python.sh package) .ci/unittests.py python/tests test_unary [-k PART_OF_A_NAME]
"""

import asyncio
import faulthandler
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target"))
#: The package as the wheel has it.
PACKAGE = Path(os.environ.get("GRPCLB_PYTHON", TARGET / "python"))
sys.path[:0] = [str(PACKAGE), str(TOP / "ffi" / "tests" / "peers")]

from harness import PROGRAMS, Case, free_port, messages, until  # noqa: E402

messages()
import testing_pb2 as pb  # noqa: E402

__all__ = ["HERE", "PACKAGE", "Ours", "TARGET", "TOP", "Served", "arun", "free_port", "messages", "pb", "python", "until"]

# A hang says where.
faulthandler.dump_traceback_later(240, exit=True)


def arun(coroutine, seconds=30):
    """Runs a coroutine on a new event loop."""
    return asyncio.run(asyncio.wait_for(coroutine, seconds))


def environment(*more):
    """For programs of this interpreter: they find the package and the compiled messages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), str(messages()), *more])}


def python(*words):
    """The command line of a program of this interpreter."""
    return [sys.executable, *map(str, words)]


class Served(Case):
    """Tests before one grpcio server (server.py), which all of a class share."""

    @classmethod
    def setUpClass(cls):
        server = cls.start_shared(*python(HERE / "server.py"), env={"PYTHONPATH": str(messages())}).listening()
        cls.address, cls.target = server.address, f"ipv4:{server.address}"


class Ours(Case):
    """The same before our own interop_server."""

    @classmethod
    def setUpClass(cls):
        server = cls.start_shared(PROGRAMS / "interop_server", "--port", free_port()).listening()
        cls.port = server.port
        cls.address = f"127.0.0.1:{server.port}"
        cls.target = f"ipv4:{cls.address}"
