"""The arm's states beside a recording of images: .npz with `stamp_ns` (M,) and `position` (M, 7), rad.

Stamps are on the camera's clock, as the images' of the recording are.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rfs_perception.errors import PerceptionError


def save(path: Path, stamp_ns: NDArray[np.int64], position: NDArray[np.float64]) -> None:
    """Write states. Shapes: (M,), (M, 7)"""
    np.savez(path, stamp_ns=stamp_ns, position=position)


def load(path: Path) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read states, oldest first. Shapes: (M,), (M, 7)

    Raises:
        PerceptionError: not such a file.
    """
    try:
        # numpy takes whatever is no .npz for a pickle, and says so.
        if path.is_file() and not zipfile.is_zipfile(path):
            raise PerceptionError(f"arm states {path}: is no .npz with stamp_ns and position")
        with np.load(path, allow_pickle=False) as file:
            stamps, position = file["stamp_ns"].astype(np.int64), file["position"].astype(np.float64)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise PerceptionError(f"arm states {path} cannot be read: {error}") from error
    if stamps.ndim != 1 or position.shape != (len(stamps), 7) or not np.isfinite(position).all():
        raise PerceptionError(
            f"arm states {path}: stamp_ns {stamps.shape} and position {position.shape} must be finite, of "
            "shapes (M,) and (M, 7)"
        )
    order = np.argsort(stamps, kind="stable")
    return stamps[order], position[order]
