"""What engines share: errors of one line, versions that fit, trouble that is counted and told of."""

import logging

import numpy as np
import pytest

from rfs_core import arrays
from rfs_core.errors import ConfigError
from rfs_sim import seam
from rfs_sim.engine import MujocoEngine
from rfs_sim.mjcf import SceneConfig
from rfs_sim.mjwarp.env import make_env as make_mjwarp
from rfs_sim.seam import EngineError, ProblemCounter
from rfs_sim.worlds import Worlds

INSTALL = "EXTRAS=mjwarp make setup"


def test_an_engine_without_its_extra_names_the_command_in_one_line() -> None:
    with pytest.raises(EngineError) as error:
        seam.require("mjwarp", ("numpy", "no_such_module"), INSTALL)
    assert (
        str(error.value) == "engine mjwarp needs no_such_module, not installed here: EXTRAS=mjwarp make setup"
    )
    seam.require("mjwarp", ("numpy",), INSTALL)


def test_versions_that_drifted_are_named_with_those_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "version", {"mujoco": "4.1.0", "warp-lang": "1.19.3"}.__getitem__)
    with pytest.raises(EngineError, match=r"mujoco 4\.1\.0 \(tested with 4\.0\.0\): EXTRAS=mjwarp") as error:
        seam.require_versions("mjwarp", {"mujoco": "4.0.0", "warp-lang": "1.19.0"}, INSTALL)
    assert "warp-lang" not in str(error.value)  # a patch release is the same


def test_a_distribution_that_is_not_there_has_drifted_too() -> None:
    with pytest.raises(EngineError, match=r"no-such-distribution none \(tested with 1\.0\)"):
        seam.require_versions("mjwarp", {"no-such-distribution": "1.0"}, INSTALL)


def test_trouble_is_counted_and_told_of_at_the_1st_2nd_4th_and_8th_world(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counter = ProblemCounter("mjwarp")
    with caplog.at_level(logging.WARNING, logger="rfs_sim"):
        for _ in range(9):
            counter.add("not finite", 1)
        counter.add("without memory", 0)
        counter.add("without memory", 3, "raise it")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        *(f"engine mjwarp: {n} worlds not finite so far, reset" for n in (1, 2, 4, 8)),
        "engine mjwarp: 3 worlds without memory so far, reset: raise it",
    ]
    assert counter.counts == {"not finite": 9, "without memory": 3}


def test_substeps_fill_the_control_step_or_are_refused() -> None:
    assert seam.substeps_of(SceneConfig(physics_dt=0.01)) == 5
    with pytest.raises(EngineError, match=r"does not divide the control step of 0\.05 s"):
        seam.substeps_of(SceneConfig(physics_dt=0.02))


@pytest.mark.parametrize("wrong", [0.0, -0.01, float("nan"), float("inf")])
def test_a_physics_step_that_is_no_time_is_refused(wrong: float) -> None:
    with pytest.raises(EngineError, match=rf"physics_dt {wrong:g} s does not divide .* choose 0\.01, 0\.005"):
        seam.substeps_of(SceneConfig(physics_dt=wrong))


def test_the_gap_world_is_refused_on_other_engines() -> None:
    with pytest.raises(EngineError, match="gap world runs on engine mujoco only"):
        Worlds("grasp", 1, world="gap", engine=MujocoEngine)


def test_worlds_run_on_the_engine_they_are_given() -> None:
    made: list[tuple[int, SceneConfig]] = []

    def factory(num_worlds: int, scene: SceneConfig) -> MujocoEngine:
        made.append((num_worlds, scene))
        return MujocoEngine(num_worlds, scene)

    own, given = Worlds("stack", 2), Worlds("stack", 2, engine=factory)
    assert [(n, [b.name for b in scene.bodies], scene.noslip) for n, scene in made] == [(2, ["platform"], 2)]
    for worlds in (own, given):
        worlds.reset(0, [0, 1])
        worlds.step(worlds.target, worlds.hand_target)
    assert np.array_equal(own.observe(), given.observe())


def test_targets_and_stepped_are_the_two_halves_of_a_step() -> None:
    whole, halves = Worlds("grasp", 2), Worlds("grasp", 2)
    for worlds in (whole, halves):
        worlds.reset(3, [0, 1])
    whole.step(whole.target, whole.hand_target)
    halves.engine.step(*halves.targets(halves.target, halves.hand_target))
    halves.stepped()
    assert np.array_equal(whole.observe(), halves.observe())
    assert halves.state.time.tolist() == [0.05, 0.05]


def test_a_state_handed_out_keeps_its_values_at_the_next_reset() -> None:
    worlds = Worlds("stack", 2)
    worlds.reset(0, [0, 1])
    before = worlds.state
    copies = [arrays.copy(x) for x in (before.arm_target, before.hand_target, before.goal_position)]
    worlds.reset(0, [7], [1])
    for copy, now in zip(copies, (before.arm_target, before.hand_target, before.goal_position), strict=True):
        assert np.array_equal(copy, now)
    assert not np.array_equal(worlds.state.goal_position[1], before.goal_position[1])


@pytest.mark.parametrize("option", [{"world": "gap"}, {"observation": "points"}])
def test_what_mjwarp_does_not_have_is_refused_or_it_is_not_installed(option: dict[str, str]) -> None:
    with pytest.raises((ConfigError, EngineError), match=r"choose engine mujoco|EXTRAS=mjwarp make setup"):
        make_mjwarp("grasp", 1, **option)  # type: ignore[arg-type]
