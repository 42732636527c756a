"""Promises of the demonstrations' file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rfs_core.specs import ActionSpec, ObservationSpec
from rfs_core.tasks import UnknownTaskError, grasp
from rfs_sim import demos
from rfs_sim.demos import DemonstrationError


def test_the_file_holds_the_promised_arrays_without_pickle(tmp_path: Path) -> None:
    path = tmp_path / "demos.npz"
    demos.collect("grasp", 5, seed=3, num_envs=4).save(path)

    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"observation", "action", "episode_start", "success", "header"}
        rows = len(file["observation"])
        assert file["observation"].shape == (rows, grasp.OBSERVATION_SPEC.size)
        assert file["observation"].dtype == np.float32
        assert file["action"].dtype == np.float32
        assert file["action"].shape == (rows, 22)
        assert file["episode_start"].dtype == np.int64
        assert file["success"].dtype == np.bool_
        start = file["episode_start"]
        assert len(start) == 6
        assert start[0] == 0
        assert start[-1] == rows
        assert (np.diff(start) <= grasp.MAX_EPISODE_STEPS).all()
        assert (np.diff(start) > 0).all()
        header = json.loads(str(file["header"]))
    assert ObservationSpec.from_dict(header["observation_spec"]) == grasp.OBSERVATION_SPEC
    spec = ActionSpec.from_dict(header["action_spec"])
    assert (header["task"], header["seed"], header["physics_dt"], header["control_dt"]) == (
        "grasp",
        3,
        0.01,
        0.05,
    )
    assert spec.size == 22
    assert header["command"]
    assert not list(tmp_path.glob("*.partial"))


def test_actions_are_physical_and_within_their_bounds() -> None:
    d = demos.collect("grasp", 3, seed=0, num_envs=3)
    spec = ActionSpec.from_dict(d.header["action_spec"])
    assert (d.action >= spec.low - 1e-6).all()
    assert (d.action <= spec.high + 1e-6).all()
    assert np.isfinite(d.observation).all()


def test_the_number_of_envs_does_not_change_the_demonstrations() -> None:
    few, many = (demos.collect("grasp", 6, seed=1, num_envs=n) for n in (2, 6))
    np.testing.assert_array_equal(few.observation, many.observation)
    np.testing.assert_array_equal(few.action, many.action)
    np.testing.assert_array_equal(few.success, many.success)


def test_success_only_keeps_the_successful_ones_in_order() -> None:
    everything = demos.collect("grasp", 12, seed=1, num_envs=12)
    kept = demos.collect("grasp", 2, seed=1, num_envs=12, keep="success")
    assert kept.success.tolist() == [True, True]
    first = int(np.flatnonzero(everything.success)[0])
    a, b = everything.episode_start[first : first + 2]
    np.testing.assert_array_equal(kept.observation[: b - a], everything.observation[a:b])


def test_what_cannot_be_collected_is_refused() -> None:
    with pytest.raises(UnknownTaskError, match="grasp"):
        demos.collect("nothing", 1, 0)
    with pytest.raises(DemonstrationError, match="at least 1"):
        demos.collect("grasp", 0, 0)
    with pytest.raises(DemonstrationError, match="all, success"):
        demos.collect("grasp", 1, 0, keep="some")


def test_the_command_writes_the_file_and_says_what_is_in_it(tmp_path: Path) -> None:
    out = tmp_path / "new" / "d.npz"
    command = [sys.executable, "-m", "rfs_sim.demos", "--episodes", "2", "--seed", "5", "--out", str(out)]
    done = subprocess.run(
        [*command, "--partial-share", "1.0", "--bias", "0.01", "0", "0"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "2 episodes" in done.stdout
    with np.load(out, allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
    assert header["demonstrator"]["partial_share"] == 1.0
    assert header["demonstrator"]["bias"] == [0.01, 0, 0]


def test_the_command_refuses_a_bad_value_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rfs_sim.demos", "--episodes", "2", "--out", str(tmp_path / "d.npz")]
    for extra, words in (["--task", "juggle"], "grasp"), (["--partial-share", "2"], "partial_share"):
        done = subprocess.run([*command, *extra], capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
