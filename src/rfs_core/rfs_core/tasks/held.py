"""Starts with a brick in the hand: a bank of simulated states, from which resets of several tasks draw.

The bank is made by `python -m rfs_sim.held_starts`, which says how; its header has the command and the seed.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rfs_core.scene import ObjectShape

BRICK = ObjectShape("brick", "box", (0.030, 0.030, 0.040))
"""What is held: 6 x 6 x 8 cm."""

FRICTION = 1.5
"""Sliding friction of its contacts; with less it turns in the fingers while it is carried."""

BANK = Path(__file__).with_name("data") / "held_brick.npz"


@cache
def bank() -> dict[str, Any]:
    """The bank's arrays by name, one row per state, float64 or bool."""
    with np.load(BANK, allow_pickle=False) as file:
        rows = {name: file[name] for name in file.files if name != "header"}
    return {name: v if v.dtype == np.bool_ else v.astype(np.float64) for name, v in rows.items()}


def draw(rng: np.random.Generator) -> dict[str, Any]:
    """One state of the bank, its quaternion of norm 1."""
    rows = bank()
    i = int(rng.integers(len(rows["mass"])))
    state = {name: values[i].copy() for name, values in rows.items()}
    state["object_quaternion"] /= np.linalg.norm(state["object_quaternion"])
    return state
