"""The Go client: what the Rust one is asked, in three files, asked of it (after .ci/build-go.sh)."""

import test_arguments
import test_backends
import test_c
from harness import PROGRAMS

GREETER = [str(PROGRAMS.parents[1] / "examples" / "go" / "greeter_client")]


class Backends(test_backends.Backends):
    GREETER = GREETER


class Flags(test_arguments.Flags):
    GREETER = GREETER


class Targets(test_arguments.Targets):
    GREETER = GREETER
    test_the_demo_too = None  # which is Rust


class Configs(test_arguments.Configs):
    GREETER = GREETER


class Files(test_arguments.Files):
    GREETER = GREETER


class Faults(test_c.Faults):
    GREETER = GREETER
