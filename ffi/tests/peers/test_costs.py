"""Costs that must not grow: instructions a call with 1 000 endpoints and with 3, counted by callgrind."""

import re
import tempfile

from harness import PROGRAMS, ROUND_ROBIN, Case

COLLECTED = re.compile(r"Collected : (\d+)")


class Costs(Case):
    """Only the client is counted; start-up cancels out in the difference of two run lengths."""

    def instructions(self, endpoints, calls):
        """Of one whole run of greeter_client over this many endpoints."""
        with tempfile.NamedTemporaryFile("w", suffix=".endpoints") as listed:
            # One server has all of 127.0.0.0/8: a connection to each address.
            listed.writelines(f"127.0.{n // 250}.{n % 250 + 1}:{self.port}\n" for n in range(endpoints))
            listed.flush()
            run = self.start(
                "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAMS / "greeter_client",
                "--target", f"file://{listed.name}", "--service-config", ROUND_ROBIN, "--calls", calls,
                "--wait-ready", endpoints, "--json")
            self.assertEqual(run.process.wait(100), 0, run.output())
            self.assertIn(f'"status":{{"OK":{calls}}}', run.output())
            peers = re.search(r'"peers":\{(.*?)\}', run.output())[1].count(":") // 2
            self.assertEqual(peers, min(endpoints, calls), "calls went to other endpoints than asked")
            return int(COLLECTED.search(run.output())[1])

    def per_call(self, endpoints):
        few, many = 3000, 9000  # multiples of both: each endpoint gets the same number of calls
        return (self.instructions(endpoints, many) - self.instructions(endpoints, few)) / (many - few)

    def test_instructions_a_call_do_not_grow_with_endpoints(self):
        server = self.start(PROGRAMS / "greeter_server", "--listen", "0.0.0.0:0").listening()
        self.port = server.port
        three, thousand = self.per_call(3), self.per_call(1000)
        print(f"note  instructions a call: {three:.0f} with 3 endpoints, {thousand:.0f} with 1 000 ({thousand / three:.2f} times)")
        self.assertLess(thousand, 1.5 * three)
