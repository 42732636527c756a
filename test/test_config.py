"""config/deploy.yaml says what the configuration classes and the launch arguments say."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import yaml

from rfs_control.correction_config import CorrectionNodeConfig
from rfs_control.episode_config import EpisodeConfig
from rfs_control.operator_steps import OperatorConfig
from rfs_control.policy_config import PolicyConfig
from rfs_core.config import from_mapping
from rfs_core.gate_config import GateConfig
from rfs_core.tasks import TASKS
from rfs_data.recorder_config import RecorderConfig
from rfs_drivers.franka_config import FrankaConfig
from rfs_drivers.leap_config import LeapConfig
from rfs_drivers.spacemouse import SpaceMouseConfig
from rfs_perception.realsense_config import RealSenseConfig
from rfs_sim.emulated_config import EmulatedConfig
from rfs_sim.sim_config import SimConfig

ROOT = Path(__file__).parent.parent
CLASSES = {
    "sim_node": SimConfig,
    "gate_node": GateConfig,
    "policy_node": PolicyConfig,
    "episode_manager": EpisodeConfig,
    "recorder_node": RecorderConfig,
}
BLOCKS = yaml.safe_load((ROOT / "config" / "deploy.yaml").read_text())


def nested(parameters):
    """Parameters named outer.inner as mappings in mappings."""
    made = {}
    for name, value in parameters.items():
        *outer, last = name.split(".")
        inner = made
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return made


def parameters(node):
    return nested(BLOCKS[f"/**/{node}"]["ros__parameters"])


@pytest.fixture(scope="module")
def deploy():
    spec = importlib.util.spec_from_file_location("deploy_launch", ROOT / "launch" / "deploy.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_block_for_every_node_that_is_launched(deploy):
    # The camera's parameters belong to a robot, or to the launch file where the camera is emulated.
    launched = set(deploy.NODES) - {"realsense_node"}
    assert set(BLOCKS) == {f"/**/{node}" for node in launched}
    assert set(CLASSES) == launched


# Where the simulated world differs from the defaults, which are a robot's.
SIMULATED = {"gate_node": {"residual_hand": 0.15}}


@pytest.mark.parametrize("node", CLASSES)
def test_every_key_is_known_and_has_the_default_of_its_class(node):
    expected = dataclasses.replace(CLASSES[node](), **SIMULATED.get(node, {}))
    assert from_mapping(CLASSES[node], parameters(node)) == expected


def test_launch_arguments_and_parameters_have_the_same_defaults(deploy):
    defaults = {argument.name: argument.default_value[0].text for argument in deploy.ARGUMENTS}
    for name, nodes in {
        "task": ("sim_node", "policy_node", "episode_manager"),
        "seed": ("sim_node", "episode_manager"),
        "episodes": ("episode_manager",),
        "a0": ("policy_node",),
        "real_time_factor": ("sim_node",),
        "record_video": ("sim_node",),
        "camera": ("sim_node",),
    }.items():
        for node in nodes:
            value = parameters(node)[name]
            # An argument that has its default is not passed on: the file decides.
            assert yaml.safe_load(defaults[name]) == value, f"{name} of {node}"


def test_the_launch_file_knows_every_task(deploy):
    assert sorted(deploy.TASKS) == sorted(TASKS)


def test_the_steered_checkpoint_is_deployed_where_one_is_shipped(deploy, tmp_path):
    own = tmp_path / "own.safetensors"
    own.touch()
    for name in ("lift_base", "lift_rfs", "push_base"):
        (tmp_path / f"{name}.safetensors").touch()
    chosen = {
        (asked, task): deploy.chosen_checkpoint(asked, tmp_path, task, points=False)
        for asked in ("", "base", str(own))
        for task in ("lift", "push")
    }
    assert chosen == {
        ("", "lift"): tmp_path / "lift_rfs.safetensors",
        ("", "push"): tmp_path / "push_base.safetensors",
        ("base", "lift"): tmp_path / "lift_base.safetensors",
        ("base", "push"): tmp_path / "push_base.safetensors",
        (str(own), "lift"): own,
        (str(own), "push"): own,
    }
    with pytest.raises(RuntimeError, match="no rfs checkpoint is shipped for task push; shipped: base"):
        deploy.chosen_checkpoint("rfs", tmp_path, "push", points=False)
    with pytest.raises(RuntimeError, match="shipped: none"):
        deploy.chosen_checkpoint("", tmp_path, "pour", points=False)


CORRECTIONS = yaml.safe_load((ROOT / "config" / "corrections.yaml").read_text())


@pytest.mark.parametrize(
    ("node", "config"), [("correction_node", CorrectionNodeConfig), ("spacemouse_node", SpaceMouseConfig)]
)
def test_every_key_of_the_corrections_is_known_and_has_the_default_of_its_class(node, config):
    assert from_mapping(config, CORRECTIONS[f"/**/{node}"]["ros__parameters"]) == config()
    assert len(CORRECTIONS) == 2


@pytest.mark.parametrize("launch", ["deploy", "robot"])
def test_a_robot_file_that_does_not_fit_is_refused_with_those_that_do(launch, tmp_path):
    spec = importlib.util.spec_from_file_location(f"{launch}_file", ROOT / "launch" / f"{launch}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = ROOT / "config" / "robot"
    own = tmp_path / "mine.yaml"
    own.touch()
    assert module.robot_file("emulated", "", folder) == folder / "emulated.yaml"
    assert module.robot_file("real", "fr3_leap", folder) == folder / "fr3_leap.yaml"
    assert module.robot_file("real", str(own), folder) == own
    for robot, asked, names in (
        ("real", "", "fer_leap, fr3_leap"),
        ("real", "emulated", "fer_leap, fr3_leap"),
        ("real", "no/such/file.yaml", "fer_leap, fr3_leap"),
        ("emulated", "fr3_leap", "emulated"),
    ):
        with pytest.raises(RuntimeError, match=f"shipped for it: {names}, or give a YAML file"):
            module.robot_file(robot, asked, folder)


ROBOT_CLASSES = {
    "emulated_robot": EmulatedConfig,
    "franka_node": FrankaConfig,
    "leap_node": LeapConfig,
    "realsense_node": RealSenseConfig,
    "robot_operator": OperatorConfig,
    **CLASSES,
}


@pytest.mark.parametrize("name", ["emulated", "fr3_leap", "fer_leap"])
def test_every_key_of_a_robot_file_is_known_and_in_its_range(deploy, name):
    blocks = yaml.safe_load((ROOT / "config" / "robot" / f"{name}.yaml").read_text())
    assert {block.rpartition("/")[2] for block in blocks} <= {*deploy.NODES, *deploy.ROBOT_NODES}
    for block, content in blocks.items():
        from_mapping(ROBOT_CLASSES[block.rpartition("/")[2]], nested(content["ros__parameters"]))
