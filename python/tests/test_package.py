"""The package as its users get it: the wheel in a fresh environment, with and without grpcio, its types, its errors."""

import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest
import venv
from pathlib import Path

from support import TARGET, TOP, Served, environment, free_port, messages

import grpclb
import grpclb.aio


def run(command, *, timeout=120, **more):
    """Gives standard output of a program that ends well."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=timeout, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def site_packages(python):
    return run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]).strip()


class Wheel(Served):
    """Outside of the checkout, where nothing but the wheel is found."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        wheels = list((TARGET / "wheels").glob("libgrpclb-*.whl"))
        assert len(wheels) == 1, wheels
        cls.wheel = wheels[0]
        folder = tempfile.TemporaryDirectory(prefix="grpclb-wheel-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        venv.create(cls.folder / "venv", with_pip=True)
        cls.python = cls.folder / "venv" / "bin" / "python"
        # As pip says it to its users; it needs nothing else.
        run([cls.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", cls.wheel])
        cls.env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def program(self, text, *words, path="", **more):
        return run([self.python, "-c", textwrap.dedent(text), *words], cwd=self.folder,
                   env={**self.env, **({"PYTHONPATH": path} if path else {})}, **more)

    def test_what_is_in_it(self):
        self.assertRegex(self.wheel.name, r"^libgrpclb-[0-9.]+-cp310-abi3-")
        files = run([sys.executable, "-m", "zipfile", "-l", self.wheel])
        for name in ("grpclb/py.typed", "grpclb/_grpclb.pyi", "grpclb/_grpclb.abi3.so", "grpclb/examples/scenario.py"):
            self.assertIn(name, files)
        for name in ("tests", ".rs", "__pycache__"):
            self.assertNotIn(name, files)
        told = json.loads(self.program("""
            import importlib.metadata as m, json
            d = m.distribution("libgrpclb"); print(json.dumps([d.version, d.requires, d.metadata["License-Expression"]]))"""))
        self.assertEqual(told, [grpclb.__version__, None, "MIT OR Apache-2.0"])

    def test_without_grpcio(self):
        out = self.program("""
            import sys, asyncio, grpclb, grpclb.aio
            with grpclb.Channel(sys.argv[1]) as channel:
                hello = channel.unary_unary("/helloworld.Greeter/SayHello")
                print(hello(b"\\n\\x05world", timeout=10))
                try:
                    channel.unary_unary("/no/such")(b"")
                except grpclb.RpcError as error:
                    print(error.code(), type(error).__mro__[1:-2])
            async def main():
                async with grpclb.aio.Channel(sys.argv[1]) as channel:
                    print(await channel.unary_unary("/helloworld.Greeter/SayHello")(b"\\n\\x05world", timeout=10))
                    try:
                        await channel.unary_unary("/no/such")(b"")
                    except grpclb.RpcError as error:
                        print(error.code(), type(error).__name__)
            asyncio.run(main())
            print("grpc" in sys.modules)""", self.target)
        self.assertEqual(out.splitlines(), [
            "b'\\n\\x0bHello world'", "StatusCode.UNIMPLEMENTED (<class 'Exception'>,)",
            "b'\\n\\x0bHello world'", "StatusCode.UNIMPLEMENTED AioRpcError", "False"])

    def test_with_grpcio_and_generated_stubs(self):
        path = os.pathsep.join([site_packages(sys.executable), str(messages())])
        out = self.program("""
            import sys, grpclb
            print("grpc" in sys.modules)
            import grpc, helloworld_pb2 as pb, helloworld_pb2_grpc as stubs
            with grpclb.Channel(sys.argv[1]) as channel:
                print(stubs.GreeterStub(channel).SayHello(pb.HelloRequest(name="you")).message)
                try:
                    channel.unary_unary("/no/such")(b"")
                except grpc.RpcError as error:
                    print(error.code() is grpc.StatusCode.UNIMPLEMENTED, isinstance(error, grpclb.RpcError))""",
            self.target, path=path)
        self.assertEqual(out.splitlines(), ["False", "Hello you", "True True"])

    def test_the_example(self):
        for flags in ([], ["--aio"]):
            out = run([self.python, "-m", "grpclb.examples.greeter_client", "--target", self.target, "--calls", 5, "--json",
                       *flags], cwd=self.folder, env=self.env)
            self.assertEqual(json.loads(out)["status"], {"OK": 5})

    def test_other_versions_of_python(self):
        """One wheel for all: those that are on this machine."""
        found = set()
        for name in ("python3.10", "python3.12", "python3.13", "python3.14"):
            for folder in [*os.environ["PATH"].split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]:
                program = Path(folder) / name
                if program.exists() and "shims" not in folder and name not in found:
                    found.add(name)
                    env = {**self.env, "PYTHONPATH": str(TARGET / "python")}
                    out = run([program, "-m", "grpclb.examples.greeter_client", "--target", self.target, "--aio", "--json"],
                              cwd=self.folder, env=env)
                    self.assertEqual(json.loads(out)["status"], {"OK": 1}, name)
        if not found:
            self.skipTest("no other Python here")

    def test_pip_install_from_the_checkout(self):
        """As `pip install ./python`, with the build tools that are here already."""
        env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
             "--no-build-isolation", "--target", self.folder / "built", "./python"], cwd=TOP, env=env, timeout=400)
        out = run([self.python, "-c", "import grpclb; print(grpclb.__file__)"], cwd=self.folder,
                  env={**self.env, "PYTHONPATH": str(self.folder / "built")})
        self.assertTrue(out.startswith(str(self.folder / "built")), out)


class Types(unittest.TestCase):
    def test_the_package_is_typed_and_the_stubs_tell_the_truth(self):
        with tempfile.TemporaryDirectory() as cache:
            where = {"cwd": TOP / "python", "env": {**os.environ, "MYPY_CACHE_DIR": cache, "PYTHONPATH": str(TARGET / "python")}}
            self.assertIn("no issues found", run([sys.executable, "-m", "mypy"], **where))
            self.assertIn("no issues found", run([sys.executable, "-m", "mypy.stubtest", "grpclb"], **where))

    def test_what_a_user_writes(self):
        """Right lines pass mypy --strict, wrong ones are found by it."""
        text = textwrap.dedent("""
            import grpclb
            import grpclb.aio

            def blocking() -> None:
                with grpclb.Channel("dns:///x", service_config={"a": 1}, keepalive_time=30) as channel:
                    code: grpclb.StatusCode = channel.unary_unary("/a/b").with_call(b"", timeout=1)[1].code()
                    for response in channel.unary_stream("/a/b")(b"", metadata=[("a", "b"), ("c-bin", b"d")]):
                        print(response, code)

            async def aio() -> None:
                async with grpclb.aio.Channel("dns:///x") as channel:
                    call = channel.stream_stream("/a/b")()
                    await call.write(b"")
                    async for response in call:
                        print(response, (await call.trailing_metadata())["a"])

            def picks(picker: grpclb.Picker) -> int:
                picked = picker.pick(0)
                return 0 if isinstance(picked, grpclb.PickResult) else picked
        """)
        wrong = 'import grpclb\ngrpclb.Channel(5)\ngrpclb.Channel("x", no_such=1)\nx: int = grpclb.Picker().state()\n'
        with tempfile.TemporaryDirectory() as folder:
            for name, code, program in (("right.py", 0, text), ("wrong.py", 1, wrong)):
                (Path(folder) / name).write_text(program)
                done = subprocess.run(
                    [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={folder}/cache", name], cwd=folder,
                    capture_output=True, text=True, timeout=120, env={**os.environ, "MYPYPATH": str(TARGET / "python")})
                self.assertEqual(done.returncode, code, done.stdout)
            self.assertIn("Found 3 errors", done.stdout)


class Errors(unittest.TestCase):
    """In programs of their own: what is loaded when matters."""

    def program(self, text, *words):
        return run([sys.executable, "-c", textwrap.dedent(text), *words], env=environment())

    def test_importing_it_never_imports_grpc(self):
        out = self.program("""
            import sys, pkgutil, importlib, grpclb
            for module in pkgutil.walk_packages(grpclb.__path__, "grpclb."):
                importlib.import_module(module.name)
            print("grpc" in sys.modules, "google" in sys.modules)""")
        self.assertEqual(out.split(), ["False", "False"])

    def test_classes_follow_what_is_loaded(self):
        out = self.program("""
            import sys, asyncio, grpclb, grpclb.aio, pickle
            target = sys.argv[1]
            def blocking():
                try:
                    with grpclb.Channel(target) as channel:
                        channel.unary_unary("/a/b")(b"")
                except grpclb.RpcError as error:
                    return error
            async def aio():
                async with grpclb.aio.Channel(target) as channel:
                    await channel.unary_unary("/a/b")(b"")
            def run():
                try:
                    asyncio.run(aio())
                except grpclb.aio.AioRpcError as error:
                    return error
            before = [blocking(), run()]
            print(*(type(error.code()).__module__ for error in before), *(type(error).__name__ for error in before))
            import grpc
            after = [blocking(), run()]
            print(*(type(error.code()).__module__ for error in before + after))
            print(isinstance(after[0], grpc.RpcError), isinstance(after[0], grpc.aio.AioRpcError))
            print(isinstance(after[1], grpc.aio.AioRpcError), type(after[1]) is type(run()))
            for error in before + after:
                again = pickle.loads(pickle.dumps(error))
                assert (again.code(), again.details(), again.peer()) == (error.code(), error.details(), error.peer())
                assert isinstance(again, grpc.RpcError) and "UNAVAILABLE" in str(again), again
            """, f"ipv4:127.0.0.1:{free_port()}")
        self.assertEqual(out.split(), "grpclb._status grpclb._status RpcError AioRpcError grpclb._status grpclb._status "
                         "grpc grpc True False True True".replace("grpclb._status grpclb._status grpc grpc", "grpc grpc grpc grpc").split())

    def test_enums_are_those_of_grpc(self):
        out = self.program("""
            import grpc, grpclb
            for ours, theirs in ((grpclb.StatusCode, grpc.StatusCode), (grpclb.ChannelConnectivity, grpc.ChannelConnectivity)):
                assert [(m.name, m.value) for m in ours] == [(m.name, m.value) for m in theirs], ours
            print("equal")""")
        self.assertEqual(out, "equal\n")

    def test_something_else_called_grpc(self):
        out = self.program("""
            import sys, types, grpclb
            sys.modules["grpc"] = types.ModuleType("grpc")
            try:
                with grpclb.Channel(sys.argv[1]) as channel:
                    channel.unary_unary("/a/b")(b"")
            except grpclb.RpcError as error:
                print(error.code())""", f"ipv4:127.0.0.1:{free_port()}")
        self.assertEqual(out, "StatusCode.UNAVAILABLE\n")

    def test_metadata(self):
        metadata = grpclb.Metadata([("a", "1"), ("b-bin", b"2"), ("a", "3")])
        self.assertEqual((metadata["a"], metadata.get("x", 7), metadata.get_all("a")), ("1", 7, ["1", "3"]))
        self.assertEqual((len(metadata), metadata[1], metadata[1:]), (3, ("b-bin", b"2"), (("b-bin", b"2"), ("a", "3"))))
        self.assertTrue("a" in metadata and "z" not in metadata and ("a", "3") in metadata)
        self.assertEqual((list(metadata.keys()), list(metadata.values())), (["a", "b-bin", "a"], ["1", b"2", "3"]))
        self.assertEqual(dict(metadata.items()), {"a": "3", "b-bin": b"2"})
        self.assertEqual(pickle.loads(pickle.dumps(metadata)), metadata)
        with self.assertRaises(KeyError):
            metadata["z"]


class Options(unittest.TestCase):
    def test_wrong_ones_are_named(self):
        for kind in (grpclb.Channel, grpclb.aio.Channel):
            for target in ("", "ipv4:", "ipv4:1.2.3.4:99999", "nosuchscheme:///x", "dns:///", "unix:"):
                with self.subTest(target), self.assertRaisesRegex(ValueError, "target"):
                    kind(target)
            for options, error, words in (
                ({"service_config": "{"}, ValueError, "service config"),
                ({"service_config": {"loadBalancingPolicy": 1}}, ValueError, r"\$\.loadBalancingPolicy"),
                ({"service_config": 5}, TypeError, "service_config: expected a str, got int 5"),
                ({"authority": b"x"}, TypeError, "authority: expected a str, got bytes"),
                ({"max_message_size": -1}, ValueError, "max_message_size: .* 0 to 4294967295"),
                ({"max_message_size": 10**5000}, ValueError, "max_message_size: .* got int$"),
                ({"max_message_size": 1.5}, TypeError, "max_message_size"),
                ({"max_message_size": True}, TypeError, "max_message_size"),
                ({"keepalive_time": 0}, ValueError, "keepalive_time: expected seconds, more than 0"),
                ({"keepalive_time": "10"}, TypeError, "keepalive_time: expected seconds"),
                ({"keepalive_timeout": 5}, ValueError, "keepalive_timeout: expected together with keepalive_time"),
                ({"initial_backoff": float("nan")}, ValueError, "initial_backoff"),
                ({"initial_backoff": 5, "max_backoff": 1}, ValueError, "max_backoff: expected at least initial_backoff"),
                ({"connect_timeout": 1e99}, ValueError, "connect_timeout"),
                ({"connect_timeout": 10**400}, ValueError, "connect_timeout"),
                ({"idle_timeout": float("inf")}, ValueError, "idle_timeout"),
                ({"nonsense": 1}, TypeError, "nonsense"),
            ):
                with self.subTest(options), self.assertRaisesRegex(error, words):
                    kind("ipv4:127.0.0.1:1", **options)
            with self.assertRaisesRegex(TypeError, "target: expected a str, got int 5"):
                kind(5)
            fine = kind("ipv4:127.0.0.1:1", authority="a", max_message_size=1, keepalive_time=10, keepalive_timeout=1,
                        initial_backoff=0.1, max_backoff=1, connect_timeout=1, idle_timeout=None, service_config={})
            self.assertIn("ipv4:127.0.0.1:1", repr(fine))
            for method in (5, None):
                with self.assertRaisesRegex(TypeError, "method"):
                    fine.unary_unary(method)


class Readme(Served):
    def test_its_python(self):
        """The README's lines, but for the target."""
        for readme in (TOP / "README.md", TOP / "python" / "README.md"):
            blocks = re.findall(r"^```python\n(.*?)^```$", readme.read_text(), re.M | re.S)
            self.assertTrue(blocks, readme)
            for block in blocks:
                program = re.sub(r'"(dns|ipv4):[^"]*"', f'"{self.target}"', block)
                self.assertNotEqual(program, block)
                out = run([sys.executable, "-c", program], env=environment())
                self.assertIn("Hello world", out, readme)
