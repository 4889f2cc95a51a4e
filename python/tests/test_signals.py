"""Ctrl-C, fork, and the end of the interpreter."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest

from support import Served, environment

PRELUDE = """
import os, signal, sys, threading, time, asyncio
import grpclb, grpclb.aio
target = sys.argv[1]
SLOW = {"metadata": [("sleep-ms", "8000")]}
EMPTY, OUTPUT = "/grpc.testing.TestService/EmptyCall", "/grpc.testing.TestService/StreamingOutputCall"
def waits():
    print("waits", flush=True)
"""


def hear_sigint():
    """A shell starts what it runs in the background deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Signals(Served):
    def interrupted(self, text, code=-signal.SIGINT, after=0.3):
        """A program gets SIGINT while it waits, and ends at once."""
        child = subprocess.Popen([sys.executable, "-c", PRELUDE + textwrap.dedent(text), self.target], env=environment(),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_sigint)
        try:
            self.assertEqual(child.stdout.readline(), "waits\n", "it ended before")
            time.sleep(after)
            began = time.monotonic()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=20)
            took = time.monotonic() - began
        finally:
            child.kill()
            child.communicate()
        self.assertEqual(child.returncode, code, err)
        self.assertLess(took, 1.5, err)
        return out, err

    def test_a_blocking_call(self):
        _, err = self.interrupted("""
            with grpclb.Channel(target) as channel:
                waits()
                channel.unary_unary(EMPTY)(b"", **SLOW)""")
        self.assertIn("KeyboardInterrupt", err)

    def test_the_channel_goes_on(self):
        out, _ = self.interrupted("""
            with grpclb.Channel(target) as channel:
                call = channel.unary_unary(EMPTY)
                try:
                    waits()
                    call(b"", **SLOW)
                except KeyboardInterrupt:
                    print("interrupted", call(b"", timeout=5))""", code=0)
        self.assertEqual(out, "interrupted b''\n")

    def test_a_handler_that_does_not_raise(self):
        out, _ = self.interrupted("""
            signal.signal(signal.SIGINT, lambda *_: print("handled", flush=True))
            with grpclb.Channel(target) as channel:
                waits()
                print(channel.unary_unary(EMPTY)(b"", metadata=[("sleep-ms", "900")]))""", code=0)
        self.assertEqual(out, "handled\nb''\n")

    def test_while_another_thread_drives(self):
        self.interrupted("""
            channel = grpclb.Channel(target)
            def other():
                try:
                    channel.unary_unary(EMPTY)(b"", **SLOW)
                except grpclb.RpcError:
                    pass
            threading.Thread(target=other, daemon=True).start()
            time.sleep(0.2)
            waits()
            channel.unary_unary(EMPTY)(b"", **SLOW)""")

    def test_without_a_server(self):
        self.interrupted("""
            with grpclb.Channel("ipv4:127.0.0.1:1") as channel:
                waits()
                channel.unary_unary(EMPTY)(b"", wait_for_ready=True)""")
        self.interrupted("""
            with grpclb.Channel("ipv4:127.0.0.1:1") as channel:
                waits()
                channel.channel_ready()""")

    def test_a_stream(self):
        for text in (
            'next(channel.unary_stream(OUTPUT)(b"", **SLOW))',
            'channel.stream_unary("/grpc.testing.TestService/StreamingInputCall")(iter([]), **SLOW)',
            'next(channel.stream_stream("/grpc.testing.TestService/FullDuplexCall")(iter(threading.Event().wait, 1)))',
            'channel.unary_unary(EMPTY).future(b"", **SLOW).result()',
            'channel.unary_stream(OUTPUT)(b"", **SLOW).code()',
        ):
            with self.subTest(text):
                self.interrupted(f"channel = grpclb.Channel(target)\nwaits()\n{text}")

    def test_an_event_loop(self):
        self.interrupted("""
            async def main():
                async with grpclb.aio.Channel(target) as channel:
                    waits()
                    await channel.unary_unary(EMPTY)(b"", **SLOW)
            asyncio.run(main())""")

    def program(self, text, timeout=20):
        done = subprocess.run([sys.executable, "-X", "dev", "-W", "ignore", "-c", PRELUDE + textwrap.dedent(text), self.target],
                              env=environment(), capture_output=True, text=True, timeout=timeout)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_interpreter_ends_while_threads_wait(self):
        began = time.monotonic()
        self.program("""
            channel = grpclb.Channel(target)
            call = channel.unary_unary(EMPTY)
            call(b"")
            for _ in range(8):
                threading.Thread(target=lambda: call(b"", **SLOW), daemon=True).start()
            future = call.future(b"", **SLOW)
            stream = channel.unary_stream(OUTPUT)(b"", **SLOW)
            threading.Thread(target=lambda: next(stream), daemon=True).start()
            time.sleep(0.3)""")
        self.assertLess(time.monotonic() - began, 5)

    def test_the_loop_ends_while_calls_run(self):
        self.program("""
            channel = grpclb.aio.Channel(target)
            async def main():
                channel.unary_unary(EMPTY)(b"", **SLOW)
                channel.stream_stream("/grpc.testing.TestService/FullDuplexCall")()
                await asyncio.sleep(0.1)
            asyncio.run(main())""")

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_fork(self):
        out = self.program("""
            channel = grpclb.Channel(target)
            call = channel.unary_unary(EMPTY)
            call(b"")
            stream = channel.unary_stream(OUTPUT)(b"")
            child = os.fork()
            if child == 0:
                for use in (lambda: call(b""), lambda: channel.unary_stream(OUTPUT)(b""), channel.get_state, channel.endpoints,
                            lambda: channel.channel_ready(1)):
                    try:
                        use()
                        print("used", flush=True)
                    except RuntimeError as error:
                        assert "fork" in str(error), error
                del stream
                with grpclb.Channel(target) as own:
                    print("child", own.unary_unary(EMPTY)(b"", timeout=5), flush=True)
                channel.close()
                sys.exit(0)
            os.waitpid(child, 0)
            for _ in range(3):
                print("parent", call(b"", timeout=5), flush=True)
            """)
        self.assertEqual(out.splitlines(), ["child b''"] + ["parent b''"] * 3)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_ctrl_c_after_a_thread_forked(self):
        """The thread that forks is the child's main thread."""
        out = self.program("""
            def forks():
                with grpclb.Channel(target) as channel:
                    channel.unary_unary(EMPTY)(b"", metadata=[("sleep-ms", "300")])  # it was asked, and is not the main thread
                child = os.fork()
                if child == 0:
                    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
                    try:
                        with grpclb.Channel(target) as channel:
                            channel.unary_unary(EMPTY)(b"", **SLOW)
                    except KeyboardInterrupt:
                        os._exit(7)
                    os._exit(8)
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            thread = threading.Thread(target=forks)
            thread.start()
            thread.join()
            """)
        self.assertEqual(out, "7\n")

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_fork_of_an_event_loop(self):
        out = self.program("""
            channel = grpclb.aio.Channel(target)
            async def call():
                return await channel.unary_unary(EMPTY)(b"", timeout=5)
            loop = asyncio.new_event_loop()
            print(loop.run_until_complete(call()), flush=True)
            child = os.fork()
            if child == 0:
                try:
                    asyncio.new_event_loop().run_until_complete(call())
                except RuntimeError as error:
                    print("event loop" in str(error) or "fork" in str(error), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print(loop.run_until_complete(call()))
            loop.run_until_complete(channel.close())
            """)
        self.assertEqual(out.split(), ["b''", "True", "b''"])

    @unittest.skipUnless(hasattr(os, "fork"), "no fork here")
    def test_multiprocessing(self):
        """A pool whose workers are forked makes channels of its own."""
        out = self.program("""
            import multiprocessing
            def work(n):
                with grpclb.Channel(target) as channel:
                    return channel.unary_unary(EMPTY)(b"", timeout=5)
            with grpclb.Channel(target) as channel:
                channel.unary_unary(EMPTY)(b"")
                with multiprocessing.get_context("fork").Pool(3) as pool:
                    print(pool.map(work, range(6)))
                print(channel.unary_unary(EMPTY)(b""))
            """)
        self.assertEqual(out.splitlines(), [str([b""] * 6), "b''"])


class Threads(Served):
    def test_the_main_thread_hears_of_signals_while_others_drive(self):
        """A handler runs soon, though the main thread only follows."""
        import grpclb

        heard = []
        before = signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        with grpclb.Channel(self.target) as channel:
            slow = channel.unary_unary("/grpc.testing.TestService/EmptyCall")
            other = threading.Thread(target=slow, args=(b"",), kwargs={"metadata": [("sleep-ms", "1500")]})
            other.start()
            time.sleep(0.2)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            began = time.monotonic()
            slow(b"", metadata=[("sleep-ms", "1000")])
            other.join()
        self.assertEqual(len(heard), 1)
        self.assertLess(heard[0] - began, 0.6)
