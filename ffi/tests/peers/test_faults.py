"""grpcio servers are killed, restarted and frozen under our client: each call has exactly one end."""

import json
import signal
import time

from harness import ROUND_ROBIN, UNAVAILABLE, Case, backend, backends, free_port, until

CALLERS = 8
# Eight callers, each waits 4 ms after a call: 10 000 calls take 5 s or more, also on a fast machine.
LOAD = ("--service-config", ROUND_ROBIN, "--concurrency", CALLERS, "--interval-ms", 4)


def call_times(server):
    """Ends a grpcio backend and gives the times at which it was called."""
    server.terminate()
    return json.loads(server.output().rpartition("calls at ")[2])


def longest_gap(times, since, until_):
    """The longest time without a call between two moments."""
    inside = [since, *sorted(moment for moment in times if since < moment < until_), until_]
    return max(later - earlier for earlier, later in zip(inside, inside[1:]))


class Faults(Case):
    def count(self, outcome, calls):
        """Every call ended with exactly one status; gives how many were OK and how many UNAVAILABLE."""
        told = outcome.json
        self.assertEqual(told["calls"], calls, outcome)
        self.assertEqual(sum(told["status"].values()), calls, outcome)
        self.assertLessEqual(set(told["status"]), {"OK", "UNAVAILABLE"}, outcome)
        failed = told["status"].get("UNAVAILABLE", 0)
        self.assertEqual(outcome.code, UNAVAILABLE if failed else 0, outcome)
        if failed:
            self.assertIn("UNAVAILABLE: ", outcome.err, outcome)
        return told["status"].get("OK", 0), failed

    def test_one_killed(self):
        servers = backends(self.start)
        client = self.greet_behind([server.address for server in servers], "--calls", 10_000, "--wait-ready", 3, *LOAD)
        time.sleep(1.5)
        self.assertTrue(client.running(), "the calls were over before the fault")
        servers[1].kill()
        killed = time.monotonic()
        outcome = client()
        _, failed = self.count(outcome, 10_000)
        # Only what the dead server may have seen can be lost: at most one call of each caller.
        self.assertLessEqual(failed, CALLERS, outcome)
        served = outcome.json["peers"]
        self.assertGreater(min(served[servers[0].address], served[servers[2].address]), 3300, outcome)
        self.assertLess(served.get(servers[1].address, 0), 3000, outcome)
        times = call_times(servers[0]) + call_times(servers[2])
        gap = longest_gap(times, killed, min(killed + 2, max(times)))
        print(f"note  one killed: {failed} of 10 000 calls failed; longest pause after it {gap * 1000:.0f} ms")
        self.assertLess(gap, 1.0)

    def test_one_restarted(self):
        servers = backends(self.start)
        client = self.greet_behind([server.address for server in servers], "--calls", 8_000, "--wait-ready", 3, *LOAD)
        time.sleep(1)
        servers[1].kill()
        time.sleep(0.3)
        again = backend(self.start, "again", servers[1].port).listening()
        back = time.monotonic()
        self.assertTrue(client.running(), "the calls were over before the restart")
        outcome = client()
        _, failed = self.count(outcome, 8_000)
        self.assertLessEqual(failed, CALLERS, outcome)
        times = call_times(again)
        self.assertTrue(times, "the restarted server got no call")
        print(f"note  one restarted: {failed} of 8 000 calls failed; it is called {times[0] - back:.2f} s after its return")
        self.assertLess(times[0] - back, 3.0)
        # And from then on it has its third again.
        others = [t for t in call_times(servers[0]) if t > times[0] + 0.1]
        share = len([t for t in times if t > times[0] + 0.1]) / max(1, len(others))
        self.assertAlmostEqual(share, 1.0, delta=0.1)

    def test_all_gone_and_back(self):
        servers = backends(self.start)
        client = self.greet_behind([server.address for server in servers], "--calls", 8_000, "--wait-ready", 3, *LOAD)
        time.sleep(1)
        for server in servers:
            server.kill()
        gone = time.monotonic()
        time.sleep(0.3)
        again = [backend(self.start, f"again{n}", server.port) for n, server in enumerate(servers)]
        for server in again:
            server.listening()
        back = time.monotonic()
        self.assertTrue(client.running(), "the calls were over before the return")
        outcome = client()
        good, failed = self.count(outcome, 8_000)
        self.assertGreater(failed, 0, "nobody noticed")
        firsts = [call_times(server)[:1] for server in again]
        self.assertTrue(all(firsts), "one of the returned servers got no call")
        print(f"note  all gone for {back - gone:.2f} s: {failed} of 8 000 calls failed at once;"
              f" called again {min(firsts)[0] - back:.2f} s to {max(firsts)[0] - back:.2f} s after the return")
        self.assertLess(max(firsts)[0] - back, 4.0)
        self.assertGreater(good, 1000, outcome)

    def test_all_gone_and_back_for_calls_that_wait(self):
        """wait_for_ready: only what the dead servers may have seen fails, the others wait for the return."""
        servers = backends(self.start)
        client = self.greet_behind([server.address for server in servers], "--calls", 8_000, "--wait-ready", 3,
                                   "--wait-for-ready", *LOAD)
        time.sleep(1)
        for server in servers:
            server.process.kill()  # all in one moment: a call may be in flight once, not once a server
        for server in servers:
            server.kill()
        again = [backend(self.start, f"again{n}", server.port) for n, server in enumerate(servers)]
        for server in again:
            server.listening()
        self.assertTrue(client.running(), "the calls were over before the return")
        _, failed = self.count(client(), 8_000)
        print(f"note  all gone and back, calls that wait: {failed} of 8 000 failed")
        # Each of the three may take one call of each caller along.
        self.assertLessEqual(failed, 3 * CALLERS)

    def test_calls_made_before_the_server_wait_for_it(self):
        port = free_port()
        client = self.greet_behind([f"127.0.0.1:{port}"], "--calls", 8, "--concurrency", 8, "--wait-for-ready",
                                   "--deadline-ms", 20_000)
        time.sleep(0.5)
        backend(self.start, "late", port).listening()
        self.assertEqual(self.count(client(), 8), (8, 0))

    def test_restarted_while_nobody_calls(self):
        for name, config in (("pick_first", "{}"), ("round_robin", ROUND_ROBIN)):
            server = backend(self.start, "before").listening()
            client = self.greet_behind([server.address], "--calls", 2, "--interval-ms", 3000, "--service-config", config)
            until("the first call", lambda: "called" in server.output(), 10)
            server.kill()
            after = backend(self.start, "after", server.port).listening()
            self.assertTrue(client.running())
            outcome = client()
            self.assertEqual(self.count(outcome, 2), (2, 0), (name, outcome))
            self.assertEqual(len(call_times(after)), 1)

    def test_frozen_server_costs_its_calls_their_deadline_and_no_others(self):
        servers = backends(self.start)
        addresses = [server.address for server in servers]
        client = self.greet_behind(addresses, "--calls", 90, "--concurrency", 3, "--interval-ms", 50, "--wait-ready", 3,
                                   "--deadline-ms", 400, "--service-config", ROUND_ROBIN)
        time.sleep(0.5)
        servers[2].process.send_signal(signal.SIGSTOP)
        outcome = client()
        told = outcome.json
        self.assertEqual(sum(told["status"].values()), 90, outcome)
        self.assertEqual(set(told["status"]), {"OK", "DEADLINE_EXCEEDED"}, outcome)
        self.assertLessEqual(told["status"]["DEADLINE_EXCEEDED"], 30, outcome)
        self.assertEqual(outcome.code, 64 + 4, outcome)
