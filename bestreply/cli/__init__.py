"""The command line, `bestreply COMMAND`: `registry` lists the commands, the other modules define them."""

from bestreply.cli.main import main

__all__ = ["main"]
