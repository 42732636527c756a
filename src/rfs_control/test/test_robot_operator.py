"""Between the request of an episode and its beginning stand the arm at home and a person's word."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rfs_control.nodes import robot_operator
from rfs_control.nodes.robot_operator import RobotOperator
from rfs_control.operator_steps import Operator, OperatorConfig, Stage
from rfs_msgs.srv import ResetWorld


class Home:
    """arm/home, during which something happens."""

    def __init__(self, meanwhile: object) -> None:
        self._meanwhile = meanwhile

    async def call_async(self, request: object) -> SimpleNamespace:
        self._meanwhile()
        return SimpleNamespace(success=True, message="")


def test_an_episode_whose_confirmation_was_renewed_while_the_arm_moved_home_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def pause(node: object, seconds: float) -> None:
        """No time passes."""

    monkeypatch.setattr(robot_operator, "pause", pause)
    node = RobotOperator.__new__(RobotOperator)
    node.config = OperatorConfig(valid_s=10.0)
    node.operator = Operator(node.config)
    node.operator.word("ARM", 0.0, "")
    node._phases = {"arm": "holding", "hand": "holding"}
    node._placed = None

    def grow_old_and_confirm() -> None:
        assert node._placed is not None  # what a lost confirmation cancels
        assert node.operator.look(11.0, "")
        assert node.operator.word("ARM", 12.0, "")[0]

    node._home = Home(grow_old_and_confirm)
    coroutine = node._on_reset(ResetWorld.Request(task="grasp"), ResetWorld.Response())
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    answer = ended.value.value
    assert not answer.success
    assert "older than 10 s" in answer.message
    assert node._placed is None
    assert node.operator.stage is Stage.READY
