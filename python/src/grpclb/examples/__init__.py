"""Programs that show the package: ``python -m grpclb.examples.greeter_client --help``."""
