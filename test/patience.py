"""How long a promise in wall time may take on a machine that is busy with other things."""

from __future__ import annotations

import os


def patience(seconds: float) -> float:
    """Wall time that a promise of so many seconds may take here: longer where others have the cores."""
    return seconds * max(2.0, 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
