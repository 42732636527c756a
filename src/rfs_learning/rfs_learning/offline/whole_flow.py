"""Which policies can be learned from or inverted offline: those whose flow makes the whole action."""

from __future__ import annotations

from rfs_core.errors import RfsError
from rfs_learning.checkpoint import Checkpoint
from rfs_learning.flow import FlowBase
from rfs_learning.steering import SteeringHead, base_of


class FlowError(RfsError):
    """A policy of which the flow makes only a part."""


def require_whole_flow(loaded: Checkpoint) -> None:
    """Refuse a flow over the fingers, alone or with a head that moves the arm.

    Raises:
        FlowError: values of an action are not the flow's, so that no a_0 leads to the recorded a_b.
    """
    flow = FlowBase.from_checkpoint(base_of(loaded))
    direct = SteeringHead.from_checkpoint(loaded).layout.direct_values if loaded.header.kind == "rfs" else []
    missing = max(flow.left_out, len(direct))
    if missing:
        size = loaded.header.action_spec.size
        raise FlowError(
            f"checkpoint {loaded.id}: its flow makes {size - missing} of {size} values of an action, the "
            f"fingers'; offline learning and inversion need one that makes all: give a policy that was "
            f"trained with over:=hand_and_arm, or train this one with ppo_trainer"
        )
