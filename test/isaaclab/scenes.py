"""Scenes that the tests share: one simulation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rfs_sim.isaaclab.make import make_env


@contextmanager
def made(task: str, num_envs: int = 2, **options: Any) -> Iterator[Any]:
    """A task's vector environment on Isaac Lab, closed at the end."""
    env = make_env(task, num_envs, **{"disturbance": 0.0, "device": "cpu", **options})
    try:
        yield env
    finally:
        env.close()
