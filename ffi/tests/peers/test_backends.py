"""Our client balances over three grpcio servers."""

import socket
import threading
import time

from harness import ROUND_ROBIN, Case, backends, free_port


def weighted(weights):
    entries = ",".join(f'"{address}":{weight}' for address, weight in weights.items())
    return '{"loadBalancingConfig":[{"weighted_round_robin":{"weights":{%s}}}]}' % entries


class Backends(Case):
    @classmethod
    def setUpClass(cls):
        cls.addresses = [server.address for server in backends(cls.start_shared)]

    def test_round_robin_gives_each_exactly_its_third(self):
        told = self.greet_ok(self.addresses, 3000, "--service-config", ROUND_ROBIN, "--wait-ready", 3)
        self.assertEqual(told["peers"], {address: 1000 for address in self.addresses})

    def test_round_robin_picks_in_turn(self):
        told = self.greet_ok(self.addresses, 64, "--service-config", ROUND_ROBIN, "--wait-ready", 3)
        first = told["picks_first"]
        self.assertEqual(len(first), 64)
        self.assertEqual(set(first[:3]), set(self.addresses))
        self.assertEqual(first, (first[:3] * 22)[:64])

    def test_round_robin_is_exact_for_many_callers_at_once(self):
        told = self.greet_ok(self.addresses, 3000, "--service-config", ROUND_ROBIN, "--wait-ready", 3,
                             "--concurrency", 16)
        self.assertEqual(told["peers"], {address: 1000 for address in self.addresses})

    def test_cold_start_all_get_their_share(self):
        told = self.greet_ok(self.addresses, 3000, "--service-config", ROUND_ROBIN)
        # Before the last one is READY the others serve; on loopback that is a moment.
        self.assertEqual(set(told["peers"]), set(self.addresses))
        self.assertGreater(min(told["peers"].values()), 800, told)

    def test_cold_start_calls_begin_at_the_first_ready_endpoint(self):
        fast, slow = self.addresses[0], slow_door(self, self.addresses[1], seconds=1.0)
        began = time.monotonic()
        told = self.greet_ok([slow, fast], 400, "--service-config", ROUND_ROBIN, "--interval-ms", 5)
        took = time.monotonic() - began
        # 400 calls, 5 ms between them: 2 s and more. The first second is the fast endpoint's alone.
        self.assertEqual(set(told["picks_first"]), {fast}, "calls began before the slow endpoint was READY")
        share = told["peers"].get(slow, 0) / 400
        self.assertGreater(share, 0.10, f"no share for the late endpoint in {took:.1f} s: {told}")
        self.assertLess(share, 0.5, told)

    def test_weights_1_2_4(self):
        one, two, four = self.addresses
        config = weighted({one: 1, two: 2, four: 4})
        told = self.greet_ok(self.addresses, 7000, "--service-config", config, "--wait-ready", 3)
        for address, share in {one: 1000, two: 2000, four: 4000}.items():
            self.assertLessEqual(abs(told["peers"][address] - share), 6, told)

    def test_weight_0_gets_nothing_and_an_absent_one_counts_as_1(self):
        config = weighted({self.addresses[0]: 0, self.addresses[1]: 3})
        told = self.greet_ok(self.addresses, 4000, "--service-config", config, "--wait-ready", 2)
        self.assertEqual(set(told["peers"]), set(self.addresses[1:]))
        self.assertLessEqual(abs(told["peers"][self.addresses[1]] - 3000), 6, told)

    def test_weights_of_a_file_target(self):
        """`file:` lists carry weights too; the same circle."""
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".endpoints") as listed:
            listed.write("\n".join(f"{address} {weight}" for address, weight in zip(self.addresses, (1, 2, 4))))
            listed.flush()
            told = self.greet_ok(f"file://{listed.name}", 7000, "--wait-ready", 3, "--service-config",
                                 '{"loadBalancingConfig":[{"weighted_round_robin":{}}]}')
        for address, share in zip(self.addresses, (1000, 2000, 4000)):
            self.assertLessEqual(abs(told["peers"][address] - share), 6, told)

    def test_pick_first_stays_with_the_first(self):
        for config in ([], ["--service-config", '{"loadBalancingConfig":[{"pick_first":{}}]}']):
            told = self.greet_ok(self.addresses, 300, *config)
            self.assertEqual(told["peers"], {self.addresses[0]: 300})

    def test_pick_first_passes_over_a_dead_address(self):
        dead = f"127.0.0.1:{free_port()}"
        told = self.greet_ok([dead, *self.addresses], 100)
        self.assertEqual(told["peers"], {self.addresses[0]: 100})

    def test_round_robin_passes_over_a_dead_address(self):
        dead = f"127.0.0.1:{free_port()}"
        told = self.greet_ok([dead, *self.addresses], 300, "--service-config", ROUND_ROBIN, "--wait-ready", 3)
        self.assertEqual(told["peers"], {address: 100 for address in self.addresses})

    def test_dns_target(self):
        port = self.addresses[0].rpartition(":")[2]
        told = self.greet_ok(f"dns:///localhost:{port}", 100)
        self.assertEqual(sum(told["peers"].values()), 100)


def slow_door(test, address, seconds):
    """A proxy before `address` that lets the first bytes through after a while."""
    door = socket.create_server(("127.0.0.1", 0))
    door.settimeout(60)
    host, _, port = address.rpartition(":")
    opens = time.monotonic() + seconds

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve():
        while True:
            try:
                client, _ = door.accept()
            except OSError:
                return
            time.sleep(max(0, opens - time.monotonic()))
            behind = socket.create_connection((host, int(port)), timeout=60)
            for pair in ((client, behind), (behind, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    test.addCleanup(door.close)
    return "127.0.0.1:%d" % door.getsockname()[1]
