"""The Node client over gRPC-Web: what the Rust one is asked, through gateways to grpcio servers (after make wasm)."""

import json
import re
import subprocess
import time

import test_arguments
import test_backends
from harness import PROGRAMS, ROUND_ROBIN, TOP, UNAVAILABLE, Case, backend, backends, free_port, until

NODE = subprocess.run([TOP / ".ci" / "setup-node.sh"], stdout=subprocess.PIPE, text=True, check=True, cwd=TOP).stdout.strip()
GREETER = [NODE, str(TOP / "wasm" / "examples" / "greeter_client.mjs")]
TEXT = [*GREETER, "--format", "text"]


def gateway(start, addresses, *flags):
    return start(PROGRAMS / "gateway", "--listen", "127.0.0.1:0", "--target", "ipv4:" + ",".join(addresses), *flags).listening()


class Behind(Case):
    """A gateway alone before each backend, so that the client's own picks are what is seen."""

    GREETER = GREETER

    @classmethod
    def setUpClass(cls):
        cls.addresses = [server.address for server in backends(cls.start_shared)]
        cls.doors = {address: gateway(cls.start_shared, [address]).address for address in cls.addresses}

    def greet_behind(self, target, *flags):
        """Addresses are those of backends: their gateways are called."""
        if not isinstance(target, str):
            target = ",".join(f"http://{self.doors.get(address, address)}" for address in target)

        def door(found):
            return self.doors.get(found[0], found[0])

        flags = [re.sub(r"[\d.]+:\d+", door, flag) if isinstance(flag, str) else flag for flag in flags]
        return self.behind(self.GREETER, "--target", target, "--json", *flags)


class Backends(Behind, test_backends.Backends):
    test_weights_of_a_file_target = test_dns_target = None  # targets are URLs
    test_cold_start_calls_begin_at_the_first_ready_endpoint = None  # the slow door speaks HTTP/2


class BackendsText(Backends):
    GREETER = TEXT


class OneGateway(Case):
    """One gateway before three backends: its picks."""

    @classmethod
    def setUpClass(cls):
        cls.addresses = [server.address for server in backends(cls.start_shared)]

    def through(self, calls, *flags, config=ROUND_ROBIN):
        door = gateway(self.start, self.addresses, "--service-config", config, "--wait-ready", 3)
        for self.GREETER in (GREETER, TEXT):
            yield self.greet_ok(f"http://{door.address}", calls, *flags)["peers"]

    def test_each_exactly_its_third(self):
        for peers in self.through(3000, "--wait-ready", 1, "--concurrency", 4):
            self.assertEqual(peers, {address: 1000 for address in self.addresses})

    def test_weights_1_2_4(self):
        weights = dict(zip(self.addresses, (1, 2, 4)))
        for peers in self.through(7000, "--concurrency", 4, config=test_backends.weighted(weights)):
            for address, weight in weights.items():
                self.assertLessEqual(abs(peers[address] - 1000 * weight), 6, peers)


class Flags(test_arguments.Flags):
    GREETER = GREETER


class Targets(test_arguments.Refused):
    def test_bad_targets(self):
        for target in ("", "http://", "127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:99999", "http://a:b@127.0.0.1:1",
                       "http://127.0.0.1:1,", "http://127.0.0.1:1?a=b", "http://127.0.0.1:1#a", "unix:/a"):
            with self.subTest(target):
                self.refused(GREETER, f"--target={target}", names=("target",))

    def test_bad_format(self):
        self.refused(GREETER, "--target", "http://127.0.0.1:1", "--format", "json", names=("format",))


class Configs(Behind, test_arguments.Configs):

    def config(self, text, *names):
        self.refused(GREETER, "--target", "http://127.0.0.1:1", "--service-config", text, names=("service-config", *names))

    def test_the_first_known_policy_counts(self):
        config = json.dumps({"loadBalancingConfig": [{"xds_experimental": {"a": [1, {}]}}, {"round_robin": {"future": 1}}],
                             "methodConfig": [], "unknownField": None})
        self.greet_ok([self.addresses[0]], 10, "--service-config", config)


class Faults(Behind):
    def test_nobody_there(self):
        outcome = self.greet([f"127.0.0.1:{free_port()}"], "--calls", 1, "--deadline-ms", 5000)
        self.assertEqual(outcome.code, UNAVAILABLE, outcome)
        self.assertTrue(outcome.err.startswith("UNAVAILABLE: "), outcome)
        self.assertEqual(outcome.json["status"], {"UNAVAILABLE": 1}, outcome)

    def test_a_gateway_is_killed_in_between_and_comes_back(self):
        doors = [gateway(self.start, [address]) for address in self.addresses[:2]]
        wait = self.behind(GREETER, "--target", ",".join(f"http://{door.address}" for door in doors), "--json", "--calls", 1500,
                           "--interval-ms", 2, "--service-config", ROUND_ROBIN, "--wait-ready", 2)
        time.sleep(1)
        doors[0].kill()
        time.sleep(0.5)
        again = self.start(PROGRAMS / "gateway", "--listen", doors[0].address, "--target", f"ipv4:{self.addresses[2]}")
        until("it listens", lambda: "listening" in again.output())
        outcome = wait()
        told = outcome.json
        # One call may have been in its hands.
        self.assertGreaterEqual(told["status"]["OK"], 1499, outcome)
        self.assertGreater(told["peers"].get(self.addresses[2], 0), 50, outcome)

    def test_an_empty_name_and_a_long_one(self):
        for self.GREETER in (GREETER, TEXT):
            for name in ("", "x" * 100_000, "\u00e9\n"):
                self.greet_ok(self.addresses[:1], 3, "--name", name)
