"""Calls helloworld.Greeter/SayHello over a balanced channel and tells which peers served the calls.

Exit code: 0 all calls OK; 2 bad arguments; else 64 + status code of the first call that failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from typing import Any, NoReturn

import grpclb
import grpclb.aio

from .hello import SAY_HELLO, decode_reply, encode_request

PATIENCE = 30.0  # seconds that --wait-ready waits
PICKS = 64  # how many of them picks_first shows


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {one_line(message)}\n")


def number(text: str) -> int:
    """From 0 up, as other languages' 64 bits have it."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 64):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 up, in range")
    return int(text)


def threads(text: str) -> int:
    """How many calls at a time."""
    if not 1 <= number(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 4096")
    return number(text)


def switch(text: str) -> bool:
    """The value of ``--flag=true`` and ``--flag=false``."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text}: expected true or false")
    return text == "true"


def arguments() -> argparse.Namespace:
    """The command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="greeter_client", description=__doc__, formatter_class=form, allow_abbrev=False)

    def flag(name: str, text: str, **more: Any) -> None:
        parser.add_argument(f"--{name}", f"-{name}", dest=name.replace("-", "_"), help=text, **more)

    def on(name: str, text: str) -> None:
        flag(name, text, nargs="?", const=True, default=False, type=switch, metavar="true|false")

    flag("target", "dns:///host:port, ipv4:a:p,b:p, ipv6:, unix:path or file:///path (required)")
    flag("service-config", "gRPC's service config; without it: pick_first", metavar="JSON")
    flag("calls", "how many calls [default: 1]", type=number, default=1, metavar="N")
    flag("concurrency", "how many of them at a time [default: 1]", type=threads, default=1, metavar="C")
    flag("deadline-ms", "deadline of each call; without it: none", type=number, metavar="D")
    flag("interval-ms", "each thread or task waits so long between its calls [default: 0]", type=number, default=0, metavar="N")
    flag("wait-ready", f"start the calls when K endpoints are READY (waits {PATIENCE:.0f} s at most)", type=number, metavar="K")
    on("wait-for-ready", "calls wait through TRANSIENT_FAILURE instead of failing fast")
    flag("name", "whom to greet [default: world]", default="world")
    on("json", "print one line of JSON")
    on("aio", "use the asyncio channel (tasks instead of threads)")
    args = parser.parse_args()
    if args.target is None:
        parser.error("--target TARGET is missing (--help explains)")
    return args


class Tally:
    """What came of the calls."""

    def __init__(self, calls: int) -> None:
        self.left: int = calls
        self.peers: dict[str, int] = {}
        self.status: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.picks: list[tuple[int, str]] = []
        self.answer: str = ""
        self.failure: tuple[int, str] | None = None
        self.lock: threading.Lock = threading.Lock()

    def take(self) -> bool:
        """Whether there is a call left to make."""
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def served(self, peer: str | None, pick: int | None, octets: bytes) -> None:
        """A call was OK, but perhaps its message is none."""
        try:
            answer, failure = decode_reply(octets), None
        except ValueError as error:
            answer, failure = "", f"{peer} answered no HelloReply: {error}"
        with self.lock:
            self.peers[peer or ""] = self.peers.get(peer or "", 0) + 1
            if pick is not None:
                self.picks.append((pick, peer or ""))
                if len(self.picks) > 4096:
                    self.picks = sorted(self.picks)[:PICKS]
            if failure is None:
                self.answer = answer
                self.ended(grpclb.StatusCode.OK)
            else:
                self.ended(grpclb.StatusCode.INTERNAL, failure)

    def failed(self, error: grpclb.RpcError) -> None:
        """A call was not OK."""
        with self.lock:
            peer = error.peer()
            if peer:
                self.peers[peer] = self.peers.get(peer, 0) + 1
            self.ended(error.code(), error.details())

    def ended(self, code: grpclb.StatusCode, details: str = "") -> None:
        """Counts, under the lock."""
        at = code.value[0]
        self.names[at] = code.name
        self.status[at] = self.status.get(at, 0) + 1
        if at and self.failure is None:
            self.failure = (at, f"{code.name}: {details}")

    def json(self) -> str:
        """The line of --json."""
        told = {
            "calls": sum(self.status.values()),
            "peers": dict(sorted(self.peers.items())),
            "status": {self.names[at]: calls for at, calls in sorted(self.status.items())},
            "picks_first": [peer for _, peer in sorted(self.picks)[:PICKS]],
        }
        return json.dumps(told, separators=(",", ":"))

    def table(self, seconds: float, concurrency: int) -> str:
        """The same for people."""
        calls, served = sum(self.status.values()), sum(self.peers.values())
        lines = [
            f"{calls} call{'s' * (calls != 1)}, {concurrency} at a time, in {seconds:.2f} s ({calls / seconds:.0f} a second)"
        ]
        width = max([6, *map(len, self.peers)])
        lines += [f"  {peer:{width}}  {n:8}  {n / served * 100:5.1f} %" for peer, n in sorted(self.peers.items())]
        lines += [f"  {self.names[at]:{width}}  {n:8}" for at, n in sorted(self.status.items())]
        if self.answer:
            lines.append(f"the last answer: {one_line(self.answer)}")
        return "\n".join(lines)


def call_options(args: argparse.Namespace) -> dict[str, Any]:
    """What each call is asked with."""
    timeout = None if args.deadline_ms is None else args.deadline_ms / 1000
    return {"timeout": timeout, "wait_for_ready": args.wait_for_ready}


def not_ready(args: argparse.Namespace, endpoints: list[tuple[str, grpclb.ChannelConnectivity]]) -> tuple[int, str]:
    """--wait-ready in vain."""
    states = ", ".join(f"{address} {state.name}" for address, state in endpoints) or "no endpoints"
    words = f"UNAVAILABLE: not {args.wait_ready} endpoints were READY within {PATIENCE:.0f} s: {states}"
    return grpclb.StatusCode.UNAVAILABLE.value[0], words


def blocking(args: argparse.Namespace, tally: Tally) -> None:
    """On threads."""
    with grpclb.Channel(args.target, service_config=args.service_config) as channel:
        if args.wait_ready is not None and not channel.wait_for_ready_endpoints(args.wait_ready, PATIENCE):
            tally.failure = not_ready(args, channel.endpoints())
            return
        say_hello = channel.unary_unary(SAY_HELLO)
        request, options = encode_request(args.name), call_options(args)

        def some() -> None:
            turn = 0
            while tally.take():
                if turn and args.interval_ms:
                    time.sleep(args.interval_ms / 1000)
                turn += 1
                try:
                    octets, call = say_hello.with_call(request, **options)
                except grpclb.RpcError as error:
                    tally.failed(error)
                else:
                    tally.served(call.peer(), call.pick_order(), octets)

        others = [threading.Thread(target=some, daemon=True) for _ in range(args.concurrency - 1)]
        for thread in others:
            thread.start()
        some()
        for thread in others:
            thread.join()


async def tasks(args: argparse.Namespace, tally: Tally) -> None:
    """On an event loop."""
    async with grpclb.aio.Channel(args.target, service_config=args.service_config) as channel:
        if args.wait_ready is not None:
            try:
                await asyncio.wait_for(channel.wait_for_ready_endpoints(args.wait_ready), PATIENCE)
            except asyncio.TimeoutError:
                tally.failure = not_ready(args, channel.endpoints())
                return
        say_hello = channel.unary_unary(SAY_HELLO)
        request, options = encode_request(args.name), call_options(args)

        async def some() -> None:
            turn = 0
            while tally.take():
                if turn and args.interval_ms:
                    await asyncio.sleep(args.interval_ms / 1000)
                turn += 1
                call = say_hello(request, **options)
                try:
                    octets = await call
                except grpclb.RpcError as error:
                    tally.failed(error)
                else:
                    tally.served(call.peer(), call.pick_order(), octets)

        await asyncio.gather(*(some() for _ in range(args.concurrency)))


def one_line(text: str) -> str:
    """What a server sent stays on its line, and moves no cursor."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def main() -> int:
    """Runs, and gives the exit code."""
    args = arguments()
    tally = Tally(args.calls)
    began = time.monotonic()
    try:
        if args.aio:
            asyncio.run(tasks(args, tally))
        else:
            blocking(args, tally)
    except ValueError as error:
        # A target or service config that does not parse.
        print(f"greeter_client: {one_line(str(error))}", file=sys.stderr)
        return 2
    if tally.status or tally.failure is None:
        print(tally.json() if args.json else tally.table(max(time.monotonic() - began, 1e-9), args.concurrency))
    if tally.failure is None:
        return 0
    code, words = tally.failure
    print(one_line(words), file=sys.stderr)
    return 64 + code


if __name__ == "__main__":
    sys.exit(main())
