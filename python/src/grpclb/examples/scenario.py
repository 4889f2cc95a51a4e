"""Runs one of core/tests/scenarios through grpclb.Picker and prints a line a step: the same octets as in every language.

    python -m grpclb.examples.scenario FILE
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpclb
from grpclb import ActionKind, PickResult, SubchannelEvent

EVENTS = {"ready": SubchannelEvent.READY, "failed": SubchannelEvent.FAILED, "lost": SubchannelEvent.LOST}


class Runner:
    """A scenario that runs."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.picker: grpclb.Picker = grpclb.Picker(seed=scenario["seed"], position=scenario["position"])
        self.now: int = 0
        self.newest: dict[str, int] = {}
        self.addresses: dict[int, str] = {}

    def step(self, step: dict[str, Any]) -> str:
        """Does it, and gives its line."""
        picker, now, verb, details = self.picker, self.now, step["do"], []
        if verb == "resolve":
            endpoints = [endpoint.split(",") for endpoint in step["endpoints"]]
            try:
                picker.handle_resolution(now, endpoints, step["config"], weights=step.get("weights"))
            except ValueError as error:
                details.append(f"error: {error}")
        elif verb == "resolve_error":
            picker.handle_resolution_error(now)
        elif verb == "connect":
            picker.connect(now)
        elif verb == "shutdown":
            picker.shutdown()
        elif verb == "busy":
            picker.set_busy(now, step["on"] != 0)
        elif verb == "advance":
            self.now += step["ms"] * 1_000_000
            picker.handle_timeout(self.now)
        elif verb in EVENTS:
            picker.handle_subchannel(now, self.newest[step["address"]], EVENTS[verb])
        elif verb == "pick":
            details.append(" ".join(self.pick() for _ in range(step["count"])))
        else:
            raise ValueError(f"nothing that can be done: {verb!r}")
        state = picker.state().name
        actions = ", ".join(self.actions())
        return "; ".join([f"{verb}: {state}", *details, *([actions] if actions else [])])

    def pick(self) -> str:
        """Where a call goes."""
        picked = self.picker.pick(self.now)
        if isinstance(picked, PickResult):
            return picked.name.lower()
        return self.picker.address(picked) or "out of use"

    def actions(self) -> list[str]:
        """All that the picker wants done."""
        actions = []
        while (action := self.picker.poll_action()) is not None:
            if action.subchannel is None:
                actions.append("resolve")
            elif action.kind is ActionKind.CONNECT:
                address = self.picker.address(action.subchannel) or "out of use"
                self.newest[address] = action.subchannel
                self.addresses[action.subchannel] = address
                actions.append(f"connect {address}")
            else:
                # Its address may have gone out of use with it.
                actions.append(f"close {self.addresses.get(action.subchannel, 'what was never connected')}")
        return actions


def main() -> int:
    """Runs, and gives the exit code."""
    if len(sys.argv) != 2:
        print("scenario: FILE is missing, or there is more than that", file=sys.stderr)
        return 2
    try:
        with open(sys.argv[1], encoding="ascii") as file:
            scenario = json.load(file)
        runner = Runner(scenario)
        lines = [runner.step(step) for step in scenario["steps"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"scenario: {sys.argv[1]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
