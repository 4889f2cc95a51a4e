"""Runs the parts of `make test`, two at a time, goes on after a failure, and ends with a table.

    .ci/test.py [--all] [PART…]     PARTS=list shows the names

A part is a few commands and the tools that they need. Nothing is taken on trust: a command that
fails without naming a failed test counts as one failure, and so does a part that ran no test.
Whole outputs are in target/test-logs/PART.log; VERBOSE=1 prints them as they come. JOBS=1 runs one part
after the other: most parts wait for sockets and clocks as often as they compute.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOGS = TOP / "target" / "test-logs"
CI = os.environ.get("CI") == "true"
VERBOSE = os.environ.get("VERBOSE") == "1"
JOBS = int(os.environ.get("JOBS") or 2)
BARE_TARGETS = ["thumbv6m-none-eabi", "thumbv7em-none-eabi", "wasm32-unknown-unknown"]


# ---- what is run -----------------------------------------------------------------------------


class Part:
    """`commands`: argument lists, `{python}` and the like replaced by what `needs` set up. `writes`: what it builds
    that other parts build, too; parts that share one of these do not run at once."""

    def __init__(self, name, about, *commands, needs=(), writes=(), minutes=15, only_all=False):
        self.name, self.about, self.commands, self.writes = name, about, commands, set(writes)
        self.needs, self.seconds, self.only_all = needs, minutes * 60, only_all

    def tell(self, text):
        """Prints lines as this part's."""
        print("\n".join(f"{self.name:11} {line}" for line in text.splitlines()), flush=True)


def peers(topic):
    return ["{python}", ".ci/unittests.py", "ffi/tests/peers", f"test_{topic}"]


def node(*tests):
    return ["{node}", "--test", "--test-reporter=./.ci/node-reporter.mjs", *[f"wasm/test/{test}.test.mjs" for test in tests]]


PROGRAMS = ["cargo", "build", "--release", "-p", "grpclb", "--examples"]
TONIC_WEB = ["cargo", "build", "-p", "grpclb-benches", "--example", "tonic_web_server"]  # as part tonic has built it

PARTS = [
    Part("driver", "this driver counts honestly", [sys.executable, ".ci/unittests.py", ".ci", "test_driver"], minutes=1),
    Part("style", "rustfmt and clippy, warnings are errors",
         ["cargo", "fmt", "--all", "--check"],
         ["cargo", "clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]),
    Part("core", "protocol and balancer: by RFC section, stories, pairs on a virtual clock, properties",
         ["cargo", "test", "--no-fail-fast", "-p", "grpclb-core", "--all-features"]),
    Part("firmware", "core without std: builds for bare targets, links a firmware, looks at its sections",
         [".ci/firmware.sh"], needs=("bare",)),
    Part("host", "host library, server, programs; the README's Rust is compiled and run",
         ["cargo", "test", "--no-fail-fast", "-p", "grpclb"]),
    Part("tonic", "a tonic client against our server",
         ["cargo", "test", "--no-fail-fast", "-p", "grpclb-benches"]),
    Part("demo", "make demo ONCE=1: shares within 1 %, no call lost; and over grpcio's servers",
         PROGRAMS, ["make", "demo", "ONCE=1"], peers("demo"), needs=("python",)),
    Part("grpcio", "Python's grpcio: three servers behind our client, its clients before our server",
         PROGRAMS, peers("backends"), peers("clients"), needs=("python",)),
    Part("c", "the C door: header, C11 and C++17, AddressSanitizer, valgrind, pkg-config; grpcio's servers behind it",
         PROGRAMS, ["make", "c"], ["cargo", "test", "--no-fail-fast", "-p", "grpclb-header"],
         ["cargo", "test", "--no-fail-fast", "-p", "grpclb", "--features", "capi", "--lib", "capi::"], [".ci/c.sh"], peers("c"),
         needs=("python", "valgrind"), writes=("c",)),
    Part("python", "the Python package: both channels before grpcio's servers and ours, signals, fork, wheel, types, README",
         PROGRAMS, ["make", "python"],
         ["{package}", ".ci/unittests.py", "python/tests", "test_unary", "test_streams", "test_ends", "test_sansio", "test_signals",
          "test_package", "test_speed"],
         ["{package}", ".ci/unittests.py", "ffi/tests/peers", "test_python"], needs=("package",), writes=("python",)),
    Part("c-bare", "the C door without an operating system: links for a Cortex-M4, has no heap and no panic, runs in QEMU",
         [".ci/bare.sh"], needs=("bare", "arm")),
    Part("gateway", "browsers' gRPC-Web and plain gRPC through the gateway to three grpcio servers",
         PROGRAMS, peers("gateway"), peers("gateway_http2"), needs=("python",)),
    Part("go", "the Go door: vet, race detector, streams, grpcio's servers and grpc-go's behind it; the README's Go",
         PROGRAMS, ["make", "go"], [".ci/go.sh"], peers("go"), needs=("python", "go-toolchain"), writes=("c",)),
    Part("grpc-go", "gRPC's interop suite with grpc-go, both ways", PROGRAMS, peers("interop"),
         needs=("python", "go")),
    Part("conformance", "h2spec's cases, strict, against our HTTP/2 server and client", [".ci/conformance.sh"],
         needs=("go",)),
    Part("faults", "grpcio servers killed, restarted, all gone and back", PROGRAMS, peers("faults"),
         needs=("python",)),
    Part("bad-input", "garbage, TLS, HTTP/1.1, closed in mid-frame, nobody there, bad arguments",
         PROGRAMS, peers("bad_servers"), peers("bad_clients"), peers("arguments"), needs=("python",)),
    Part("costs", "instructions a call with 1 000 endpoints and with 3, counted by callgrind",
         PROGRAMS, peers("costs"), needs=("python", "valgrind")),
    Part("wasm", "the npm package: sizes, calls, failover, hostile answers, packed, bundled, typed; gateways to grpcio servers",
         PROGRAMS, [".ci/build-wasm.sh"], [".ci/wasm.sh"], node("calls", "channel", "hostile", "picker", "package"), peers("node"),
         needs=("python", "bare", "node", "wasm"), writes=("wasm",)),
    Part("scenarios", "the same picks in every language, octet by octet",
         PROGRAMS, ["make", "go"], ["make", "python"], [".ci/build-wasm.sh"], peers("scenarios"),
         needs=("python", "package", "bare", "node", "wasm", "go-toolchain"), writes=("c", "python", "wasm")),
    Part("browser", "in Node and in headless Chromium: our package, grpc-web, connect-web; our gateway, Envoy, tonic-web",
         PROGRAMS, TONIC_WEB, [".ci/build-wasm.sh"], node("peers/clients"), node("peers/balance"), node("peers/page"), writes=("wasm",),
         needs=("bare", "python", "node", "wasm", "web-peers", "chromium", "envoy")),
    Part("c-asan", "the C door with AddressSanitizer in its Rust part; its connection under Miri", PROGRAMS,
         [".ci/c-asan.sh"], [".ci/c-miri.sh"], needs=("nightly",),
         only_all=True),
    Part("fuzz", "each fuzz target for a while", [".ci/fuzz.sh"], minutes=30, only_all=True),
    Part("soak", "faults and interop again, ten times over", PROGRAMS,
         *[peers(topic) for topic in ("faults", "interop", "bad_servers", "bad_clients") for _ in range(10)],
         minutes=60, needs=("python", "go"), only_all=True),
]

# name -> (script, the place its standard output names)
NEEDS = {
    "bare": ([".ci/setup-rust.sh", *BARE_TARGETS], None),
    "arm": ([".ci/setup-arm.sh"], None),
    "nightly": ([".ci/setup-nightly.sh"], None),
    "python": ([".ci/setup-python.sh"], "{python}"),
    "package": ([".ci/setup-python.sh", "package"], "{package}"),
    "go": ([".ci/setup-go.sh"], "{go}"),
    "go-toolchain": ([".ci/setup-go.sh", "--toolchain"], None),
    "node": ([".ci/setup-node.sh"], "{node}"),
    "wasm": ([".ci/setup-wasm.sh"], None),
    "web-peers": ([".ci/setup-web-peers.sh"], None),
    "chromium": ([".ci/setup-chromium.sh"], None),
    "envoy": ([".ci/setup-envoy.sh"], None),
    "valgrind": ([".ci/setup-valgrind.sh"], None),
}


# ---- counting --------------------------------------------------------------------------------


class Counts:
    """Tests passed, failed and skipped of one part."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __iadd__(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        return self

    def total(self):
        return self.passed + self.failed + self.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


# `cargo test` prints one such line for each program of tests.
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.M)
# Our own runners and scripts end with this line.
OURS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)


def count(argv, code, output):
    """What one command's exit code and output say."""
    if argv[:2] == ["cargo", "test"]:
        found = CARGO.findall(output)
    elif argv[:2] == ["cargo", "build"]:
        # Needed by what follows, no test by itself.
        return Counts(failed=int(code != 0))
    elif argv[0] in ("cargo", "make"):
        return Counts(passed=int(code == 0), failed=int(code != 0))
    else:
        found = OURS.findall(output)[-1:]
        if not found and argv[0].endswith(".sh"):
            return Counts(passed=int(code == 0), failed=int(code != 0))
    counts = Counts()
    for passed, failed, skipped in found:
        counts += Counts(int(passed), int(failed), int(skipped))
    if code != 0 and counts.failed == 0:
        counts.failed += 1  # it crashed, or did not compile
    if counts.total() == 0:
        counts.failed += 1  # no test ran
    return counts


# ---- running ---------------------------------------------------------------------------------

# Lines worth seeing while a part runs: compiling, programs of tests, figures, what goes wrong.
SHOWN = re.compile(
    r"^(\s+(Compiling|Downloading|Downloaded|Finished|Running|Doc-tests|Installing)\b|error|setup: |missing: |note  "
    r"|(ok|FAIL|FAILED|SKIP)  |test .* FAILED|thread .* panicked|.+: \d+ (of|runs in) \d+)"
)


RUNNING = set()  # process groups, for Ctrl-C


def run(argv, log, seconds, tell):
    """Runs one command in a process group of its own; gives (exit code, output)."""
    text = []
    tell(f"$ {' '.join(argv)}")
    log.write(f"$ {' '.join(argv)}\n")
    try:
        child = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    except OSError as error:
        log.write(f"{error}\n")
        tell(f"  {error}")
        return 127, str(error)

    def overdue():
        message = f"error: not done after {seconds:.0f} s, killed\n"
        text.append(message)
        tell("  " + message)
        os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(max(seconds, 1), overdue)
    timer.start()
    RUNNING.add(child.pid)
    try:
        for line in child.stdout:
            text.append(line)
            log.write(line)
            if VERBOSE or SHOWN.match(line):
                tell("  " + line.rstrip())
        return child.wait(), "".join(text)
    finally:
        timer.cancel()
        RUNNING.discard(child.pid)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)


def essence(output):
    """What tells of a failure: what stands under each failed test, or else the end."""
    lines = output.splitlines()
    found = []
    for at, line in enumerate(lines):
        if line.startswith(("---- ", "FAIL  ", "FAILED  ")):
            # Its traceback or panic message ends at an empty line, the one after the heading apart.
            more = at + 2
            while more < min(at + 30, len(lines)) and lines[more].strip():
                more += 1
            found += lines[at:more]
    return found[:120] if found else lines[-60:]


def set_up(needs, places, log, ready, tell):
    """Runs the set-up scripts of a part once; gives the words for what is missing, or None."""
    for need in needs:
        if need not in ready:
            argv, place = NEEDS[need]
            child = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, errors="replace")
            # Not communicate(): a download should be seen while it runs.
            last = ""
            for line in child.stderr:
                last = line.rstrip() or last
                log.write(line)
                tell("  " + line.rstrip())
            out = child.stdout.read().strip()
            ready[need] = None if child.wait() == 0 else last or f"missing: {need}"
            if place:
                places[place] = out
        if ready[need]:
            return ready[need]
    return None


SETTING_UP = threading.Lock()


def run_part(part, places, ready):
    """Gives the part's counts and, when something is missing, its words."""
    counts = Counts()
    with open(LOGS / f"{part.name}.log", "w") as log:
        with SETTING_UP:
            gone = set_up(part.needs, places, log, ready, part.tell)
        if gone:
            part.tell(f"skipped: {gone}")
            return Counts(skipped=1), gone
        if "go" in part.needs:
            os.environ["GRPCLB_GO_INTEROP"] = places["{go}"]  # for the interop tests
        ends = time.monotonic() + part.seconds
        for argv in part.commands:
            argv = [places.get(word, word) for word in argv]
            code, output = run(argv, log, ends - time.monotonic(), part.tell)
            last = (output.strip().splitlines() or [""])[-1]
            if code == 3 and last.startswith("missing: "):
                part.tell(f"skipped: {last}")
                counts += Counts(skipped=1)
                return counts, last
            found = count(argv, code, output)
            counts += found
            if found.failed:
                part.tell("failed; of its output:\n" + "\n".join("| " + line for line in essence(output)))
                if argv == PROGRAMS:
                    break
        if counts.total() == 0:
            counts.failed += 1
    return counts, None


def run_parts(parts):
    """Runs them, JOBS at a time and begun in their order; gives a row of the table for each."""
    places, ready, rows = {}, {}, {}
    waiting, writing, turn = list(parts), set(), threading.Condition()

    def next_part():
        while waiting:
            for part in waiting:
                if not part.writes & writing:
                    waiting.remove(part)
                    writing.update(part.writes)
                    part.tell(f"[{len(parts) - len(waiting)}/{len(parts)}] {part.about}")
                    return part
            turn.wait()
        return None

    def work():
        while True:
            with turn:
                part = next_part()
            if part is None:
                return
            began = time.monotonic()
            counts, gone = Counts(failed=1), None  # if what follows should raise
            try:
                counts, gone = run_part(part, places, ready)
            finally:
                seconds = time.monotonic() - began
                part.tell(f"{counts}, {seconds:.1f} s")
                with turn:
                    rows[part.name] = (part.name, counts, seconds, gone)
                    writing.difference_update(part.writes)
                    turn.notify_all()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(JOBS)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for group in list(RUNNING):
            os.killpg(group, signal.SIGKILL)
        raise
    return [rows.get(part.name, (part.name, Counts(failed=1), 0.0, None)) for part in parts]


def table(rows, whole):
    """The last thing that is seen."""
    wide = max(len(name) for name, *_ in rows)
    print(f"\n{'part':{wide}}  {'passed':>6}  {'failed':>6}  {'skipped':>7}  {'seconds':>7}")
    for name, counts, seconds, _ in rows:
        print(f"{name:{wide}}  {counts.passed:6}  {counts.failed:6}  {counts.skipped:7}  {seconds:7.1f}")
    print(f"{'':{wide}}  {'':6}  {'':6}  {'':7}  {whole:7.1f}")
    for name, _, _, gone in rows:
        if gone:
            print(f"left out: {name}: {gone}")


def main():
    words = sys.argv[1:]
    parts = [part for part in PARTS if "--all" in words or not part.only_all]
    names = [word for word in words if word != "--all"]
    if names == ["list"]:
        for part in PARTS:
            print(f"{part.name:12} {part.about}{' (check-all)' if part.only_all else ''}")
        return 0
    if names:
        unknown = set(names) - {part.name for part in PARTS}
        if unknown:
            print(f"no such part: {', '.join(sorted(unknown))}; PARTS=list names them", file=sys.stderr)
            return 2
        parts = [part for part in PARTS if part.name in names]
    LOGS.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] += f":{Path.home()}/.cargo/bin"
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    began = time.monotonic()
    rows = run_parts(parts)
    table(rows, time.monotonic() - began)
    total = Counts()
    for _, counts, _, _ in rows:
        total += counts
    print(total)
    return int(total.failed > 0 or (CI and total.skipped > 0))


if __name__ == "__main__":
    sys.exit(main())
