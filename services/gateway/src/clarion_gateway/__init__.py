"""The gateway: takes notifications in over HTTP, publishes them, and tells what became of them."""

from importlib.metadata import version

VERSION = version("clarion-gateway")
