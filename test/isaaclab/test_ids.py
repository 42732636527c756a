"""What Isaac Lab's tools find of this project, and what they say where something is missing."""

from importlib.metadata import entry_points

import gymnasium
import pytest

from rfs_core import robot, tasks
from rfs_learning import elsewhere
from rfs_sim.isaaclab import gym_ids, versions
from rfs_sim.isaaclab.cfg import ENV_CFGS, JOINTS
from rfs_sim.isaaclab.env import prepare
from rfs_sim.seam import EngineError


def test_every_task_has_an_id_that_list_envs_finds():
    for entry in entry_points(group="isaaclab.tasks"):
        entry.load()
    for task in tasks.TASKS:
        spec = gymnasium.registry[gym_ids.gym_id(task)]
        module, _, name = spec.kwargs["env_cfg_entry_point"].partition(":")
        assert module == ENV_CFGS[task].__module__
        assert name == ENV_CFGS[task].__name__


@pytest.mark.parametrize("task", tasks.TASKS)
def test_a_configuration_is_made_from_the_task_s_spec(task):
    cfg, module = ENV_CFGS[task](), tasks.load(task)
    assert cfg.action_space == robot.DEFAULT_ACTION_SPEC.size
    assert cfg.observation_space == module.OBSERVATION_SPEC.size
    assert cfg.decimation * cfg.sim.dt == pytest.approx(robot.CONTROL_DT)
    assert cfg.episode_length_s == pytest.approx(module.MAX_EPISODE_STEPS * robot.CONTROL_DT)
    for body in module.BODIES:
        assert hasattr(cfg.scene, body.name) == body.collides
    assert set(cfg.scene.robot.init_state.joint_pos) == set(JOINTS)


def test_another_version_is_refused_and_both_are_named(monkeypatch):
    monkeypatch.setitem(versions.TESTED, "newton", "1.5.0")
    with pytest.raises(EngineError, match=r"newton 1\.6\.1 \(tested with 1\.5\.0\).*make setup-isaaclab"):
        versions.check()


def test_an_unknown_stepper_is_refused():
    cfg = ENV_CFGS["grasp"]()
    cfg.stepper = "physx"
    with pytest.raises(EngineError, match="'physx', known are auto, mjwarp, loop"):
        prepare(cfg)


def test_the_loop_is_refused_on_a_gpu():
    cfg = ENV_CFGS["grasp"]()
    cfg.stepper, cfg.sim.device = "loop", "cuda:0"
    with pytest.raises(EngineError, match="runs on a CPU"):
        prepare(cfg)


def test_this_interpreter_needs_no_other_for_isaaclab():
    assert elsewhere.interpreter("isaaclab") is None
