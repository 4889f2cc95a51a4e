"""`make demo` as its reader sees it, and over three grpcio servers."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time

from harness import PROGRAMS, Case, backends, free_port


class Demo(Case):
    def demo(self, timeout=60, **variables):
        """Runs it with these variables; gives (exit code, standard output, standard error)."""
        began = time.monotonic()
        done = subprocess.run([PROGRAMS / "demo"], env={**os.environ, "ONCE": "1", **variables}, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertNotIn("panicked", done.stderr)
        self.assertNotIn("\x1b", done.stdout, "no colours and no cursor movement: this is no terminal")
        self.assertNotIn("\r", done.stdout)
        print(f"note  {time.monotonic() - began:.1f} s")
        return done.returncode, done.stdout, done.stderr


class Story(Demo):
    def test_told_quickly_and_checked(self):
        code, out, err = self.demo()
        self.assertEqual(code, 0, out + err)
        for words in ("pick_first", "round_robin", "weighted_round_robin"):
            self.assertIn(words, out)

    def test_first_line_comes_at_once(self):
        child = subprocess.Popen([PROGRAMS / "demo"], env={**os.environ, "ONCE": "1"}, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        began = time.monotonic()
        self.assertTrue(child.stdout.readline().strip())
        self.assertLess(time.monotonic() - began, 5.0)

    def test_a_reader_who_leaves_early(self):
        """`make demo | head`: an end without a panic."""
        done = subprocess.run(f"'{PROGRAMS / 'demo'}' | head -n 1", shell=True, env={**os.environ, "ONCE": "1"},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertNotIn("panicked", done.stderr)


class OwnServers(Demo):
    @classmethod
    def setUpClass(cls):
        cls.addresses = [server.address for server in backends(cls.start_shared)]
        cls.target = "ipv4:" + ",".join(cls.addresses)

    def test_health_check_is_the_default_and_unimplemented_counts_as_answered(self):
        code, out, err = self.demo(TARGET=self.target)
        self.assertEqual(code, 0, out + err)
        self.shares(out)

    def test_a_method_and_a_config(self):
        code, out, err = self.demo(TARGET=self.target, METHOD="helloworld.Greeter/SayHello",
                                   CONFIG='{"loadBalancingPolicy":"round_robin"}')
        self.assertEqual(code, 0, out + err)
        self.shares(out)

    def shares(self, out):
        """Round robin: each has about a third in the last table."""
        for address in self.addresses:
            last = [line for line in out.splitlines() if address in line][-1]
            share = float(re.search(r"([\d.]+) ?%", last)[1])
            self.assertAlmostEqual(share, 33.3, delta=2, msg=out)

    def test_nobody_there(self):
        code, out, err = self.demo(TARGET=f"ipv4:127.0.0.1:{free_port()}")
        self.assertEqual(code, 1, out + err)
        self.assertIn("UNAVAILABLE", err)
        self.assertEqual(len(err.splitlines()), 1)


class Terminal(Case):
    """On a terminal the frame is drawn over again; lines stay shorter than it is wide, or the redraw would slip."""

    @classmethod
    def setUpClass(cls):
        cls.target = "ipv4:" + ",".join(server.address for server in backends(cls.start_shared))

    def on_terminal(self, columns, keys=b"", **variables):
        """Runs it on a pseudo-terminal, types a little later; gives the exit code and all that it wrote."""
        ours, its = pty.openpty()
        self.addCleanup(os.close, ours)
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "TARGET": self.target, **variables}
        for name in ("COLUMNS", *(("NO_COLOR",) if "NO_COLOR" not in variables else ())):
            environment.pop(name, None)
        child = subprocess.Popen([PROGRAMS / "demo"], env=environment, stdin=its, stdout=its, stderr=its)
        self.addCleanup(child.kill)
        os.close(its)
        typist = threading.Timer(1.5, os.write, (ours, keys))
        typist.start()
        self.addCleanup(typist.cancel)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # EIO: the other side is closed
            pass
        return child.wait(10), written.decode()

    def test_frames_are_redrawn_in_place(self):
        code, out = self.on_terminal(60, ONCE="1")
        self.assertEqual(code, 0, out)
        self.assertGreater(len(re.findall(r"\x1b\[\d+A", out)), 10, "ten frames a second for three seconds")
        self.assertRegex(out, r"\x1b\[38;5;\d+m")
        plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", out)
        self.assertLess(max(map(len, re.split(r"[\r\n]+", plain))), 60)

    def test_no_color_is_obeyed(self):
        code, out = self.on_terminal(80, ONCE="1", NO_COLOR="1")
        self.assertEqual(code, 0, out)
        self.assertNotIn("\x1b", out)

    def test_enter_ends_it(self):
        began = time.monotonic()
        code, out = self.on_terminal(80, keys=b"\n", ONCE="")
        self.assertEqual(code, 0, out)
        self.assertLess(time.monotonic() - began, 10, "it would run for 30 s")
        self.assertIn("calls failed", out)
