"""Promises of the gate before training."""

import subprocess
import sys

import numpy as np

from rfs_core.tasks import grasp, pour, push_grasp, stack
from rfs_sim import demonstrator, demonstrators, push_grasp_separation, reach_separation, separation
from rfs_sim.set_down_demonstrator import CLOSED, OPEN, OPENED, opening


def test_opening_is_0_closed_1_open_and_a_third_on_a_third_of_the_way() -> None:
    hands = np.array([CLOSED, OPEN, CLOSED + (OPEN - CLOSED) / 3])
    np.testing.assert_allclose(opening(hands), [0.0, 1.0, 1.0 / 3.0], atol=1e-12)


def test_the_script_is_played_with_one_defect_at_a_time() -> None:
    main = demonstrators.config_of("stack")
    rows = separation.scripted(main)
    assert rows["all defects"] == main
    assert rows["no offset, fingers open in part"].partial_share == 1.0
    assert rows["no offset, fingers open in part"].bias == (0.0, 0.0)
    assert (rows["offset, fingers open"].bias, rows["offset, fingers open"].partial_share) == (main.bias, 0.0)


def test_states_of_the_gate_are_those_of_carrying_and_the_offset_is_the_scripts() -> None:
    main = demonstrators.config_of("stack")
    states, success, aim = separation.play("stack", main, 6, seed=0)
    seen = stack.OBSERVATION_SPEC.unpack(states)
    assert (opening(seen["hand_position"].astype(np.float64)) < OPENED).all()
    assert success.shape == (6,)
    # equal parts in x and y, opposite signs, as the bias has them
    np.testing.assert_allclose(aim[:, 0], -aim[:, 1])
    assert (aim[:, 0] > 0).all()


def test_push_grasp_is_looked_at_where_the_box_stands_and_nothing_touches_it() -> None:
    main = demonstrators.config_of("push_grasp")
    states, success, aim = push_grasp_separation.play(main, 8, seed=0)
    seen = push_grasp.OBSERVATION_SPEC.unpack(states)
    assert len(states) > 0
    assert (seen["contacts"] == 0.0).all()
    # Its axis, x cross y, lies down where it stands; the tilt from which it does is 1.24 rad and more.
    rotation = seen["object_rotation"]
    assert (np.cross(rotation[:, :3], rotation[:, 3:])[:, 2] < np.cos(1.24)).all()
    assert success.shape == (8,)
    np.testing.assert_array_equal(aim[:, 0], 0.0)  # too high, not too far
    assert (aim[:, 1] > 0).all()


def test_the_command_prints_the_gates_and_refuses_what_it_does_not_know() -> None:
    command = [sys.executable, "-m", "rfs_sim.separation", "--episodes", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for line in ("no offset, fingers open early", "script in part-open mode <= .15: "):
        assert line in done.stdout
    refused = subprocess.run([*command, "--variant", "odd"], capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert "no_modes" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_grasp_is_looked_at_on_its_way_and_pour_while_it_carries_the_cup() -> None:
    states, success, offset = reach_separation.play("grasp", demonstrators.config_of("grasp"), 6, seed=0)
    seen = grasp.OBSERVATION_SPEC.unpack(states)
    assert len(states) > 0
    assert (seen["contacts"] == 0.0).all()
    assert success.shape == (6,)
    np.testing.assert_allclose(offset, np.hypot(0.010, 0.008))  # the bias: 10 mm along x, 8 mm along z

    states, _, offset = reach_separation.play("pour", demonstrators.config_of("pour"), 6, seed=0)
    seen = pour.OBSERVATION_SPEC.unpack(states)
    assert len(states) > 0
    rotation = seen["object_rotation"]
    assert (np.cross(rotation[:, :3], rotation[:, 3:])[:, 2] > np.cos(0.151)).all()  # upright
    assert seen["contacts"].any(axis=1).all()
    # 51 mm where the bowl is 4 cm to the side, 8 times as much more per metre, and it stands -1 to 9 cm there
    assert ((offset > 0.02) & (offset < 0.09)).all()


def test_a_hand_is_closed_by_as_much_as_it_went_from_open() -> None:
    posture = demonstrator.DEFAULT_POSTURE
    opened = posture.hand(posture.finger_open, posture.thumb_open)
    shut = posture.hand(posture.finger_closed, posture.thumb_closed)
    hands = np.array([opened, shut, opened + 0.6 * (shut - opened)])
    np.testing.assert_allclose(reach_separation.closed(hands), [0.0, 1.0, 0.6], atol=1e-12)
