"""The toy task of toy_task.py as fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_learning.checkpoint import Checkpoint

sys.path.insert(0, str(Path(__file__).parent))  # the helpers of these tests are importable

from toy_task import ACTION, OBSERVATION, PointEnv, make_checkpoint, write_demos


@pytest.fixture(name="action_spec")
def action_spec_fixture() -> ActionSpec:
    return ACTION


@pytest.fixture(name="observation_spec")
def observation_spec_fixture() -> ObservationSpec:
    return OBSERVATION


@pytest.fixture
def point_env() -> Callable[[int], PointEnv]:
    return PointEnv


@pytest.fixture
def toy_checkpoint() -> Callable[..., Checkpoint]:
    return make_checkpoint


@pytest.fixture
def toy_demos(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str = "demos.npz", **options: Any) -> Path:
        return write_demos(tmp_path / name, **options)

    return write
