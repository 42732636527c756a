"""Promises of the environment's word on whether a hand is feasible at the end of an episode."""

import numpy as np
import pytest

from rfs_core import hand_geometry, robot
from rfs_sim.vec_env import make_env


def test_the_log_tells_of_every_ended_episode_whether_fingers_ended_in_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Half a millimetre is what physics allows here: as much as a tenth of one shall be too much.
    monkeypatch.setattr(hand_geometry, "INFEASIBLE", 1e-4)
    env = make_env("grasp", 2, autoreset=False, disturbance=0.0)
    env.reset(0)
    action = np.zeros((2, 2, 22))
    # The second hand turns index and middle finger towards each other, as far as physics lets them.
    names = robot.HAND_JOINT_NAMES
    action[1, :, 6 + names.index("if_rot")] = -1.0
    action[1, :, 6 + names.index("mf_rot")] = 1.0
    for step in range(32):
        result = env.step(action)
        if step < 31:
            assert not result.log["infeasible"].any()
            assert (result.log["penetration"] == 0.0).all()
    deep = hand_geometry.penetration(env.worlds.state.hand_position)
    np.testing.assert_array_equal(result.log["penetration"], deep)
    assert deep[0] == 0.0
    assert deep[1] > 1e-4
    assert result.log["infeasible"].tolist() == [False, True]
    env.close()
