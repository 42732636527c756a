"""`launch.descriptions`: the description of an executable, apart from running it."""

from .executable import Executable

__all__ = ["Executable"]
