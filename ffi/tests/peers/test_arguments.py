"""Bad arguments, targets and service configs: one clear line, exit code 2."""

import json
import tempfile

from harness import PROGRAMS, Case, free_port

ALL = ["greeter_server", "greeter_client", "interop_server", "interop_client", "h2_server", "h2_client", "demo"]


class Refused(Case):
    def refused(self, program, *flags, names=()):
        """Exit code 2, one line on standard error, nothing on standard output; the line has these words."""
        outcome = self.ours(program, *flags, timeout=10)
        self.assertEqual(outcome.code, 2, outcome)
        self.assertEqual(outcome.out, "", outcome)
        lines = outcome.err.splitlines()
        self.assertEqual(len(lines), 1, outcome)
        for word in names:
            self.assertIn(word, lines[0], outcome)


class Arguments(Refused):
    def test_help(self):
        for program in ALL:
            outcome = self.ours(program, "--help", timeout=10)
            self.assertEqual((outcome.code, outcome.err), (0, ""), outcome)
            self.assertIn(program, outcome.out)

    def test_unknown_flags(self):
        for program in ALL:
            self.refused(program, "--no-such-flag", names=("no-such-flag",))

    def test_values(self):
        self.refused("greeter_server", "--listen", "nonsense", names=("nonsense",))
        self.refused("greeter_server", "--listen", "127.0.0.1:0", "--max-connection-age-ms", "soon")
        self.refused("interop_server", "--port", "70000")
        self.refused("interop_client", "--server_host", "localhost", "--server_port", "x", "--test_case", "empty_unary")
        self.refused("h2_client", "nonsense")
        self.refused("h2_client")

    def test_address_in_use(self):
        """No fault of the arguments' form, but just as clear."""
        server = self.server()
        outcome = self.ours("greeter_server", "--listen", server.address, timeout=10)
        self.assertNotEqual(outcome.code, 0)
        self.assertEqual(len(outcome.err.splitlines()), 1, outcome)
        self.assertIn(server.address, outcome.err)


class Flags(Refused):
    """What greeter_client takes, in every language."""

    def test_help_of_the_client(self):
        outcome = self.ours(self.GREETER, "--help", timeout=10)
        self.assertEqual((outcome.code, outcome.err), (0, ""), outcome)
        for word in ("greeter_client", "--target", "--service-config", "--wait-ready", "--json"):
            self.assertIn(word, outcome.out)

    def test_unknown_flags_of_the_client(self):
        self.refused(self.GREETER, "--no-such-flag", names=("no-such-flag",))
        self.refused(self.GREETER, "--target", "ipv4:127.0.0.1:1", "operand", names=("operand",))
        self.refused(self.GREETER, "--target", "ipv4:127.0.0.1:1", "--json=maybe", names=("json",))

    def test_values_of_the_client(self):
        self.refused(self.GREETER, names=("target",))
        self.refused(self.GREETER, "--target")
        for flag in ("calls", "concurrency", "deadline-ms", "wait-ready"):
            for value in ("x", "-1", "1.5", "99999999999999999999", ""):
                self.refused(self.GREETER, "--target", "ipv4:127.0.0.1:1", f"--{flag}={value}", names=(flag,))


class Targets(Refused):
    def test_bad_targets(self):
        for target in ("", "ipv4:", "ipv4:127.0.0.1:99999", "ipv4:127.0.0.1:x", "ipv4:1.2.3:5",
                       "ipv4:127.0.0.1:1,,127.0.0.1:2", "ipv6:127.0.0.1:5", "ipv6:[::1:5", "unix:", "dns:///",
                       "dns:///host:99999", "file:", "nosuchscheme:///x", "ipv4:[::1]:5"):
            with self.subTest(target):
                self.refused(self.GREETER, f"--target={target}", names=("target",))

    def test_the_demo_too(self):
        import os
        import subprocess

        done = subprocess.run([PROGRAMS / "demo"], env={**os.environ, "TARGET": "ipv4:nonsense"}, timeout=10,
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, len(done.stderr.splitlines())), (2, "", 1), done)


class Configs(Refused):
    def config(self, text, *names):
        self.refused(self.GREETER, "--target", f"ipv4:127.0.0.1:{free_port()}", "--service-config", text, names=names)

    def test_not_json(self):
        for text in ("", "{", "nonsense", '{"loadBalancingPolicy":}', '{"a":1}}', "[]", '"x"', "{'a':1}", "\x01", '{"a":"\\q"}'):
            with self.subTest(text):
                self.config(text)

    def test_the_path_is_named(self):
        for value, path, *words in (
            ({"loadBalancingPolicy": 5}, "loadBalancingPolicy"),
            ({"loadBalancingPolicy": "nonsense"}, "loadBalancingPolicy"),
            ({"loadBalancingConfig": {}}, "loadBalancingConfig"),
            ({"loadBalancingConfig": [5]}, "loadBalancingConfig[0]"),
            ({"loadBalancingConfig": [{"nonsense": {}}]}, "loadBalancingConfig"),
            ({"loadBalancingConfig": [{"nonsense": {}}, {"weighted_round_robin": 5}]}, "loadBalancingConfig[1].weighted_round_robin"),
            ({"loadBalancingConfig": [{"weighted_round_robin": {"weights": []}}]}, "loadBalancingConfig[0].weighted_round_robin.weights"),
            (weights({"10.0.0.1:50051": -1}), "weights", "10.0.0.1:50051"),
            (weights({"10.0.0.1:50051": 1.5}), "weights", "10.0.0.1:50051"),
            (weights({"10.0.0.1:50051": "1"}), "weights", "10.0.0.1:50051"),
            (weights({"10.0.0.1:50051": 1e30}), "weights", "10.0.0.1:50051"),
            (weights({"10.0.0.1:99999": 1}), "weights", "10.0.0.1:99999"),
            (weights({"nonsense": 1}), "weights", "nonsense"),
        ):
            with self.subTest(str(value)):
                self.config(json.dumps(value), path, *words)

    def test_the_first_known_policy_counts(self):
        """gRPC: unknown policies of the list are passed over; so are unknown fields."""
        server = self.server()
        config = json.dumps({"loadBalancingConfig": [{"xds_experimental": {"a": [1, {}]}}, {"round_robin": {"future": 1}}],
                             "methodConfig": [], "unknownField": None})
        self.greet_ok([server.address], 10, "--service-config", config)

    def test_deep_nesting_ends(self):
        self.config('{"x":' + "[" * 100_000)


def weights(entries):
    return {"loadBalancingConfig": [{"weighted_round_robin": {"weights": entries}}]}


class Files(Case):
    def test_a_bad_line_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".endpoints") as listed:
            listed.write("127.0.0.1:5\nnonsense\n")
            listed.flush()
            outcome = self.greet(f"file://{listed.name}", "--calls", 1, "--deadline-ms", 2000)
        self.assertIn(outcome.code, (2, 64 + 14), outcome)
        self.assertIn("line 2", outcome.err, outcome)
