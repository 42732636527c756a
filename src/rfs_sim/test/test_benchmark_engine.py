"""The benchmark of any engine, on the one that is always there."""

import json
from pathlib import Path

import pytest

from rfs_core.errors import RfsError
from rfs_sim import benchmark_engine


@pytest.mark.parametrize("task", ["grasp", "stack"])
def test_it_measures_whole_steps_and_the_engine_alone(task: str, tmp_path: Path) -> None:
    result = benchmark_engine.run("mujoco", task, 2, steps=4)
    # The engine alone is part of the environment.
    assert 0 < result.environment_rate < result.engine_rate
    assert result.touching > 0 or task == "grasp"  # a held brick is touched
    assert result.problems == {}
    file = tmp_path / "figures" / "b.json"
    benchmark_engine.report([result], file)
    assert json.loads(file.read_text())[0]["num_envs"] == 2


def test_episodes_that_are_over_are_begun_anew() -> None:
    # 56 control steps of stack, of which 4 do not count: 60 need a second episode.
    result = benchmark_engine.run("mujoco", "stack", 1, steps=60)
    assert result.reset_us > 0


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises(RfsError, match=r"engine is 'physx', known are .*mujoco"):
        benchmark_engine.run("physx", "grasp", 1, 2)
