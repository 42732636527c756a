"""Bags as one data set: every number is where its decision is, and what was left out is named."""

import dataclasses
import shutil

import handmade_bags as handmade
import numpy as np
import pytest
from handmade_bags import SPEC, A, H, Script

from rfs_core.specs import ActionSpec
from rfs_core.tasks import grasp
from rfs_data import offline
from rfs_data.bag_reader import bags_in
from rfs_data.offline import OfflineDataError
from rfs_data.schema import mcap_name

OBSERVATION = grasp.OBSERVATION_SPEC


def read(folder, **changes):
    asked = {"action_spec": SPEC, "observation_spec": OBSERVATION, "task": "grasp", **changes}
    return offline.from_bags(folder, **asked)


def test_rows_are_decisions_and_what_followed_stands_in_the_next_row(tmp_path):
    handmade.write(tmp_path, Script(decisions=3, corrections={2: (0.01, True)}), name="a")
    handmade.write(tmp_path, Script(decisions=2), name="b")
    data = read(tmp_path)
    assert [source.name for source in data.used] == ["a", "b"]
    assert data.episode_start.tolist() == [0, 3, 5]
    # Three decisions and the end of a are rows 0 to 3, so b begins at row 4.
    assert data.at.tolist() == [0, 1, 2, 4, 5]
    assert data.elapsed.tolist() == [0, 1, 2, 0, 1]
    arm = OBSERVATION.unpack(data.seen)["arm_position"]
    for row, step in enumerate([0, 2, 4, 6, 0, 2, 4]):
        np.testing.assert_allclose(arm[row], handmade.arm_position(step), rtol=1e-6)
    np.testing.assert_array_equal(data.a_0[4], np.full((H, A), 0.25 * 2, np.float32))
    np.testing.assert_allclose(data.a_b[1, 1], handmade.base_action(3), rtol=1e-6)
    # In force from step 2 of episode a on (no release): 0.01 m and what the policy adds along y.
    assert data.engaged.tolist() == [
        [False, False],
        [True, True],
        [True, True],
        [False, False],
        [False, False],
    ]
    np.testing.assert_allclose(data.residual[1, 0, :2], [0.01, -0.0002], atol=1e-7)
    assert data.truncated.tolist() == [False, False, True, False, True]
    assert not data.terminated.any()


def test_rewards_of_a_chunk_are_discounted_within_it(tmp_path):
    handmade.write(tmp_path, Script(decisions=2))
    data = read(tmp_path)
    # Rewards after the steps are 0.5, 1.0 and 1.5, 2.0; gamma^(1/2) = 0.9 for the second step of a chunk.
    np.testing.assert_allclose(data.reward_of_chunk(0.81), [0.5 + 0.9 * 1.0, 1.5 + 0.9 * 2.0], rtol=1e-6)
    # The time limit is not an end: the value goes on after it, unless asked otherwise.
    np.testing.assert_allclose(data.discount(0.81), [0.81, 0.81], rtol=1e-6)
    np.testing.assert_allclose(data.discount(0.81, time_limit_ends=True), [0.81, 0.0], rtol=1e-6)


def test_a_terminal_state_within_a_chunk_ends_rewards_and_value_there(tmp_path):
    handmade.write(tmp_path, Script(decisions=3, terminated_at=5))
    data = read(tmp_path)
    # State 5 is reached by the first step of the third chunk; its second one was not executed.
    assert data.mask.tolist() == [[True, True], [True, True], [True, False]]
    assert data.terminated.tolist() == [False, False, True]
    np.testing.assert_allclose(data.reward_of_chunk(0.81), [1.4, 3.3, 2.5], rtol=1e-6)
    np.testing.assert_allclose(data.discount(0.81), [0.81, 0.81, 0.0], rtol=1e-6)
    # What would have been executed stands in for the step that was not.
    np.testing.assert_allclose(
        data.executed[2, 1], SPEC.clip(handmade.base_action(5) + handmade.policy_residual(5)), rtol=1e-6
    )


def spoilt(folder):
    """One good bag and one of every bad kind; returns what each must be left out for."""
    handmade.write(folder, Script(), name="good")
    shutil.copytree(folder / "good", folder / "twice")
    handmade.write(folder, Script(decisions=1), name="one")
    handmade.write(folder, Script(without_topics=frozenset({"reward"})), name="reward-less")
    handmade.write(folder, Script(nan_at=("arm/joint_states", 2)), name="nan")
    handmade.write(folder, Script(without=frozenset({("policy/action", 2)})), name="gap")
    handmade.write(folder, Script(header={"format_version": 99}), name="later")
    other = ActionSpec(SPEC.parts, SPEC.control_dt, SPEC.horizon + 1)
    handmade.write(folder, Script(header={"action_spec": other.to_dict()}), name="robot")
    episode = {**handmade.header(Script(), "x")["episode"], "task": "pour"}
    handmade.write(folder, Script(header={"episode": episode}), name="task")
    handmade.write(folder, Script(without_topics=frozenset({"policy/action"})), name="nobody")
    for name in ("short", "flipped"):
        handmade.write(folder, Script(), name=name)
    short = folder / "short" / mcap_name("short")
    short.write_bytes(short.read_bytes()[:-500])
    flipped = folder / "flipped" / mcap_name("flipped")
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 16
    flipped.write_bytes(data)
    (folder / "empty").mkdir()
    (folder / "empty" / "episode.json").touch()
    return {
        "twice": "duplicate",
        "one": "one_step",
        "reward-less": "no_reward",
        "nan": "not_finite",
        "gap": "missing_steps",
        "later": "format_version",
        "robot": "other_spec",
        "task": "other_task",
        "nobody": "no_steps",
        "short": "truncated",
        "flipped": "damaged",
        "empty": "damaged",
    }


def test_every_bag_that_cannot_be_used_is_left_out_by_name_and_reason(tmp_path):
    expected = spoilt(tmp_path)
    data = read(tmp_path)
    assert [source.name for source in data.used] == ["good"]
    assert {left.name: left.reason for left in data.left} == expected
    for name, reason in expected.items():
        assert f"left: {name}: {reason}: " in data.summary()
    assert all(np.isfinite(getattr(data, array)).all() for array in offline._ARRAYS)


def test_a_folder_without_one_good_bag_is_refused_with_all_reasons(tmp_path):
    handmade.write(tmp_path, Script(decisions=1), name="one")
    handmade.write(tmp_path, Script(without_topics=frozenset({"reward"})), name="reward-less")
    with pytest.raises(OfflineDataError, match=r"none of 2 bags(.|\n)*one_step(.|\n)*no_reward"):
        read(tmp_path)
    with pytest.raises(OfflineDataError, match=r"holds no bag.*collect_corrections"):
        read(tmp_path / "one" / "nothing")


def test_bags_are_parents_by_digest(tmp_path):
    handmade.write(tmp_path, name="a")
    data = read(tmp_path)
    assert data.parents() == [{"kind": "bag", "path": "a", "sha256": data.used[0].sha256}]
    assert len(data.used[0].sha256) == 64
    assert len(bags_in(tmp_path)) == 1


def test_data_without_failures_success_or_corrections_is_doubted(tmp_path):
    header = handmade.header(Script(), "x")["episode"]
    handmade.write(tmp_path, Script(header={"episode": {**header, "outcome": "success"}}), name="a")
    won = read(tmp_path)
    assert any("without failures" in doubt and "critic" in doubt for doubt in won.warnings())
    assert any("nobody corrected" in doubt for doubt in won.warnings())
    handmade.write(tmp_path, Script(decisions=3, corrections={2: (0.01, True)}), name="b")
    assert read(tmp_path).warnings() == []
    shutil.rmtree(tmp_path / "a")
    assert any("none of 1 episodes succeeded" in doubt for doubt in read(tmp_path).warnings())


def test_a_saved_data_set_comes_back_bit_for_bit_and_a_damaged_one_is_refused(tmp_path):
    handmade.write(tmp_path / "bags", Script(corrections={2: (0.01, True)}), name="a")
    data, path = read(tmp_path / "bags"), tmp_path / "data.npz"
    offline.save(data, path, {"command": "test"})
    assert offline.read_header(path)["command"] == "test"
    back = offline.open_data(path, SPEC, OBSERVATION, "grasp")
    for name in offline._ARRAYS:
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
    with pytest.raises(OfflineDataError, match="is of task 'grasp', needed is 'pour'"):
        offline.open_data(path, SPEC, OBSERVATION, "pour")
    spoilt = dataclasses.replace(data, reward=np.full_like(data.reward, np.nan))
    offline.save(spoilt, path, {})
    with pytest.raises(OfflineDataError, match=r"reward at \(0, 0\) is nan"):
        offline.load(path)
    offline.save(data, path, {})
    with np.load(path) as file:  # as earlier versions wrote it
        old = {name: file[name] for name in file.files if name != "own"}
    np.savez(path, **old)
    assert offline.load(path).own.all()
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(OfflineDataError, match="not a readable data set"):
        offline.load(path)
    packed = bytearray(whole)
    packed[len(whole) // 2] ^= 16  # within the packed arrays: zlib.error
    path.write_bytes(packed)
    with pytest.raises(OfflineDataError, match="not a readable data set"):
        offline.load(path)


def test_a_discarded_episode_is_left_out_and_named(tmp_path):
    handmade.write(tmp_path, Script(), name="good")
    handmade.write(tmp_path, Script(decisions=3, marks=((1, "bad", "discard"),)), name="bad")
    data = read(tmp_path)
    assert [source.name for source in data.used] == ["good"]
    assert [(left.name, left.reason) for left in data.left] == [("bad", "discarded")]
