"""The parity report: what it compares, and that it can find a difference."""

import json
from pathlib import Path

import numpy as np
import pytest

from rfs_core import robot
from rfs_core.errors import RfsError
from rfs_sim import engine_parity
from rfs_sim.engine import MujocoEngine
from rfs_sim.mjcf import SceneConfig


def test_targets_stay_within_the_limits_and_only_the_saturating_ones_ask_for_too_much() -> None:
    starts = engine_parity.starts_of(2)
    for saturating in (False, True):
        arm, hand = engine_parity.targets(starts, saturating)
        assert arm.shape == (40, 2, 7)  # 2 s at 20 Hz
        assert hand.shape == (40, 2, 16)
        for values, limits in ((arm, robot.ARM_LIMITS), (hand, robot.HAND_LIMITS)):
            assert (values > limits[0]).all()
            assert (values < limits[1]).all()
    figures, device = engine_parity.open_loop("mujoco")
    assert device == "cpu"
    assert figures["unsaturated_share_at_limit"] == 0.0
    assert figures["saturated_share_at_limit"] > 0.1
    # The engine against itself: not one bit.
    assert figures["unsaturated"] == figures["saturated"] == 0.0


def test_a_softer_hand_is_found() -> None:
    starts = engine_parity.starts_of(2)
    arm, hand = engine_parity.targets(starts, saturating=False)
    engine = MujocoEngine(2, SceneConfig())
    expected, _ = engine_parity.trajectory(engine, starts, arm[:5], hand[:5])
    softer = [type(s)(**{**s.__dict__, "hand_gain": 0.9 * s.hand_gain}) for s in starts]
    got, _ = engine_parity.trajectory(engine, softer, arm[:5], hand[:5])
    assert np.abs(got - expected)[:, :, 7:].max() > 2 * engine_parity.GOAL_OPEN_LOOP
    engine.close()


def test_a_robot_that_touches_the_object_is_no_open_loop() -> None:
    starts = engine_parity.starts_of(1)
    arm, hand = engine_parity.targets(starts, saturating=False)
    engine = MujocoEngine(1, SceneConfig())
    engine.contacts[:] = True
    engine.step = lambda *targets: None  # type: ignore[method-assign]
    with pytest.raises(RfsError, match="shall touch nothing"):
        engine_parity.trajectory(
            engine, [type(starts[0])(**{**starts[0].__dict__, "contacts": np.ones(5, bool)})], arm, hand
        )
    engine.close()


def test_the_report_keeps_what_was_measured_of_other_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = {"unsaturated": 2e-7, "saturated": 3e-3}
    file = tmp_path / "parity.json"
    other = {"open_loop": loop, "versions": {"mujoco": "3.12.0"}, "command": "c", "device": "CPU"}
    file.write_text(json.dumps({"isaaclab": other}))
    monkeypatch.setattr(
        engine_parity, "open_loop", lambda engine: ({"unsaturated": 2e-4, "saturated": 0.0}, "cpu")
    )
    grasps = {"success": 0.9, "outcomes": {}, "problems": {}, "control_steps": 64, "wall_s": 1.0}
    won = {"mujoco": [True, True], "toy": [True, False]}
    monkeypatch.setattr(
        engine_parity,
        "closed_loop",
        lambda engine, *rest: {**grasps, "success": np.mean(won[engine]), "won": won[engine]},
    )
    engine_parity.main(["--engine", "toy", "--episodes", "2", "--out", str(file)])
    report = (tmp_path / "parity.md").read_text()
    assert "| isaaclab | 2.0e-07 | 3.0e-03 | not measured | 0 |  | met |" in report
    # 2e-4 rad and .5 apart: neither goal.
    assert "| toy | 2.0e-04 | 0.0e+00 | 0.500 / 1.000 | 2 | 0.500 | not met |" in report
    assert json.loads(file.read_text())["toy"]["closed_loop"]["same"] == 0.5
    assert report in capsys.readouterr().out


def test_an_unknown_engine_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        engine_parity.main(["--engine", "physx", "--out", str(tmp_path / "p.json")])
    assert exit_.value.code == 1
    assert "engine is 'physx', known are" in capsys.readouterr().err
