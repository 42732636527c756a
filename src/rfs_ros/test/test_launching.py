"""Arguments of launch files are checked before any node is started; a refusal says what is allowed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument

from rfs_ros import launching


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("grasp_rfs", "grasp_base", "grasp_points", "pinch_base"):
        (folder / f"{name}.safetensors").touch()
    return folder


@pytest.mark.parametrize(
    ("asked", "task", "points", "chosen"),
    [
        ("", "grasp", False, "grasp_rfs"),
        ("base", "grasp", False, "grasp_base"),
        ("", "grasp", True, "grasp_points"),
        ("points", "grasp", True, "grasp_points"),
        ("", "pinch", False, "pinch_base"),
    ],
)
def test_a_shipped_checkpoint_is_chosen_by_task_and_observation(shipped, asked, task, points, chosen):
    assert launching.chosen_checkpoint(asked, shipped, task, points) == shipped / f"{chosen}.safetensors"


def test_a_file_is_taken_as_it_is(shipped, tmp_path):
    mine = tmp_path / "mine.safetensors"
    mine.touch()
    assert launching.chosen_checkpoint(str(mine), shipped, "grasp", False) == mine


@pytest.mark.parametrize(
    ("asked", "task", "points", "sentence"),
    [
        ("rfs", "pinch", False, "no rfs checkpoint is shipped for task pinch; shipped: base"),
        ("", "pinch", True, "no points checkpoint is shipped for task pinch; shipped: none"),
        ("points", "grasp", False, "checkpoint:=points cannot be used: there is no such file; shipped"),
        ("mine.safetensor", "grasp", False, "shipped for task grasp: rfs, base"),
    ],
)
def test_a_checkpoint_that_is_not_there_is_refused(shipped, asked, task, points, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        launching.chosen_checkpoint(asked, shipped, task, points)


@pytest.mark.parametrize(
    ("value", "kind", "least", "result"), [("3", int, 0, 3), ("0.5", float, 0, 0.5), ("1", int, 1, 1)]
)
def test_numbers_are_read(value, kind, least, result):
    assert launching.number({"n": value}, "n", kind, least) == result


@pytest.mark.parametrize(
    ("value", "kind", "least", "sentence"),
    [
        ("many", int, 0, "n:=many cannot be used: needs a whole number >= 0"),
        ("1.5", int, 0, "needs a whole number"),
        ("-1", int, 0, ">= 0"),
        ("0", int, 1, ">= 1"),
        ("inf", float, 0, "needs a number >= 0"),
        ("nan", float, 0, "needs a number >= 0"),
    ],
)
def test_what_is_no_such_number_is_refused(value, kind, least, sentence):
    with pytest.raises(RuntimeError, match=sentence):
        launching.number({"n": value}, "n", kind, least)


def test_an_argument_that_is_not_declared_is_refused():
    arguments = [DeclareLaunchArgument("task"), DeclareLaunchArgument("seed")]
    launching.refuse_unknown_arguments({"task": "grasp"}, arguments, "a.launch.py")
    with pytest.raises(RuntimeError, match=r"unknown argument sed, tsk; a\.launch\.py knows task, seed"):
        launching.refuse_unknown_arguments({"tsk": "", "sed": "", "task": ""}, arguments, "a.launch.py")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("/**/gate: {}", "parameters for /../gate; the nodes are gate_node"),
        ("- gate_node", "not a mapping"),
        ("{", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_parameters_that_nobody_would_read_are_refused(tmp_path, content, sentence):
    path = tmp_path / "params.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RuntimeError, match=sentence):
        launching.refuse_unknown_nodes("params_file", str(path), ["gate_node"])


@pytest.mark.parametrize("content", ["", "gate_node: {}", "/**/gate_node: {}", "/**: {}", "/a/gate_node: {}"])
def test_parameters_of_known_nodes_pass(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    launching.refuse_unknown_nodes("params_file", str(path), ["gate_node"])


def test_the_file_of_an_emulated_robot_is_not_one_for_a_robot(tmp_path):
    for name in ("emulated", "fr3_leap"):
        (tmp_path / f"{name}.yaml").touch()
    own = tmp_path / "own.yml"
    own.touch()
    assert launching.robot_file("emulated", "", tmp_path) == tmp_path / "emulated.yaml"
    assert launching.robot_file("real", "fr3_leap", tmp_path) == tmp_path / "fr3_leap.yaml"
    assert launching.robot_file("real", str(own), tmp_path) == own
    for robot, asked in ("real", ""), ("real", "emulated"), ("emulated", "fr3_leap"), ("real", "fr4"):
        with pytest.raises(RuntimeError, match="cannot be used; shipped for it"):
            launching.robot_file(robot, asked, tmp_path)


def test_fail_raises_its_sentence_when_it_is_executed():
    with pytest.raises(RuntimeError, match="the hand is gone"):
        launching.fail("the hand is gone").execute(LaunchContext())


@pytest.mark.parametrize(
    ("before", "afterwards"),
    [("", launching.ROOMY_TRANSPORTS), ("LARGE_DATA", launching.ROOMY_TRANSPORTS), ("UDPv4", "UDPv4")],
)
def test_images_get_room_in_shared_memory_unless_transports_were_chosen(monkeypatch, before, afterwards):
    monkeypatch.setenv(launching.TRANSPORTS, before)  # and puts it back
    if not before:
        del os.environ[launching.TRANSPORTS]
    context = LaunchContext()
    for action in launching.room_for_images(context.environment):
        action.visit(context)
    assert os.environ["FASTDDS_BUILTIN_TRANSPORTS"] == afterwards


ROBOT = "/**/leap_node: {ros__parameters: {d_gain: 2000, current: 0.5, joints: {if_mcp: {p_gain: 700}}}}"


@pytest.mark.parametrize(
    ("mine", "sentence"),
    [
        # d_gain would stay 2000, current 0.5 and if_mcp's gain 700.
        (
            "/**/leap_node: {ros__parameters: {d_gain: 1500.0}}",
            "d_gain of leap_node is 1500.0.*a whole number$",
        ),
        ("/**/leap_node: {ros__parameters: {current: much}}", "'much', a text, and 0.5, a number.*ROS would"),
        ("/leap_node: {ros__parameters: {joints.if_mcp.p_gain: 650.0}}", "joints.if_mcp.p_gain of leap_node"),
    ],
)
def test_a_value_that_ros_would_ignore_is_refused(tmp_path: Path, mine: str, sentence: str) -> None:
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "mine.yaml").write_text(mine)
    with pytest.raises(RuntimeError, match=sentence):
        launching.refuse_ignored_values([str(tmp_path / "robot.yaml"), str(tmp_path / "mine.yaml")])


def test_values_that_replace_others_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "robot.yaml").write_text(ROBOT)
    # A whole number where one with a point was is found first; other nodes have parameters of their own.
    (tmp_path / "mine.yaml").write_text(
        "/**/leap_node: {ros__parameters: {d_gain: 1500, current: 1, port: /dev/leap}}\n"
        "/**/franka_node: {ros__parameters: {d_gain: 1.5, listed: [1, 2]}}\n"
        "/**/gate_node:\n"
    )
    launching.refuse_ignored_values([str(tmp_path / "robot.yaml"), str(tmp_path / "mine.yaml")])


def test_a_robot_file_of_another_hand_is_refused_with_the_drivers_that_exist(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "/**/franka_node: {ros__parameters: {arm: fr3}}\n/**/allegro_node: {ros__parameters: {}}\n"
    )
    with pytest.raises(RuntimeError, match=r"parameters for /\*\*/allegro_node; the nodes are .*leap_node"):
        launching.robot_file("real", str(mine), tmp_path)
    mine.write_text(mine.read_text().replace("allegro_node", "leap_node"))
    assert launching.robot_file("real", str(mine), tmp_path) == mine


def test_the_last_file_that_says_something_of_a_parameter_counts(tmp_path):
    files = []
    for i, text in enumerate(
        (
            "/**/eye:\n  ros__parameters: {calibration: a.json, cloud: {count: 3}}\n",
            "/lab/eye:\n  ros__parameters: {calibration: b.json}\n",
            "/**/other:\n  ros__parameters: {calibration: c.json}\n",
            "",
        )
    ):
        files.append(str(tmp_path / f"{i}.yaml"))
        (tmp_path / f"{i}.yaml").write_text(text)
    assert launching.value_in(files, "eye", "calibration") == "b.json"
    assert launching.value_in(files, "eye", "cloud.count") == 3
    assert launching.value_in(files, "eye", "source") is None
