"""Arrays of a .npz file, or one error for whatever its bytes do to the libraries that read them."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rfs_core.errors import RfsError

_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    RuntimeError,  # a zip that says it is encrypted; NotImplementedError: that it is packed in another way
    SyntaxError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zip raise for bytes that make no sense."""


class NpzError(RfsError):
    """A file whose arrays cannot be read."""


def read(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file by name.

    Raises:
        NpzError: damaged, not a .npz, or one with objects in it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _ERRORS as error:
        raise NpzError(repr(error)) from error
