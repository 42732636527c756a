import json

import numpy as np
import pytest

from rfs_learning import datasets
from rfs_learning.datasets import DatasetError


def test_reads_what_was_demonstrated(toy_demos):
    demos = datasets.load(toy_demos(episodes=4))
    assert demos.task == "point"
    assert demos.episodes == 4
    assert demos.observation.shape == (40, 4)
    assert demos.success.tolist() == [True, False, True, False]
    assert len(demos.sha256) == 64


def test_windows_never_cross_the_end_of_an_episode(toy_demos):
    # Episodes of 3, 1 and 6 rows, horizon 2: starts 0, 1 | none | 4 .. 8.
    path = toy_demos(episodes=1, episode_start=np.array([0, 3, 4, 10]), success=np.ones(3, bool))
    demos = datasets.load(path)
    assert demos.window_starts(np.array([0, 1, 2])).tolist() == [0, 1, 4, 5, 6, 7, 8]
    assert demos.window_starts(np.array([1])).tolist() == []
    assert demos.window_starts(np.array([], np.int64)).tolist() == []
    chunks = demos.chunks(np.array([1, 8]))
    np.testing.assert_array_equal(chunks, [demos.action[[1, 2]], demos.action[[8, 9]]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_with_their_episode(toy_demos, value):
    demos = datasets.load(toy_demos(episodes=3))
    action = demos.action.copy()
    action[20, 1] = value  # first row of the third episode
    with pytest.raises(DatasetError, match=r"action at row 20 \(episode 2\), column 1"):
        datasets.load(toy_demos(episodes=3, action=action))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"action": np.zeros((20, 3), np.float32)}, r"action has shape \(20, 3\).*\(20, 2\)"),
        ({"action": np.zeros((19, 2), np.float32)}, r"action has shape \(19, 2\).*\(20, 2\)"),
        ({"observation": np.zeros((20, 4), np.int32)}, "observation is int32"),
        ({"episode_start": np.array([0, 10, 19])}, "from 0 to 20"),
        ({"episode_start": np.array([0, 20])}, "3 increasing numbers"),
        ({"episode_start": np.array([0, 20, 20])}, "increasing"),
        ({"success": np.zeros(2, np.int64)}, "success is int64"),
        ({"header": np.array("{}")}, "header"),
        ({"header": np.array("no json")}, "header"),
        ({"more": np.zeros(1)}, "more"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(toy_demos, changes, says):
    with pytest.raises(DatasetError, match=says):
        datasets.load(toy_demos(episodes=2, **changes))


def test_an_empty_file_is_refused(toy_demos):
    nothing = {
        "observation": np.zeros((0, 4), np.float32),
        "action": np.zeros((0, 2), np.float32),
        "episode_start": np.zeros(1, np.int64),
        "success": np.zeros(0, bool),
    }
    with pytest.raises(DatasetError, match="0 episodes"):
        datasets.load(toy_demos(**nothing))


def test_a_spec_of_another_size_is_refused(toy_demos):
    demos = datasets.load(toy_demos(episodes=2))
    header = dict(demos.header)
    header["action_spec"] = json.loads(json.dumps(header["action_spec"]).replace("[2]", "[1]"))
    for part in header["action_spec"]["parts"]:
        part["low"], part["high"] = [-0.1], [0.1]
    with pytest.raises(DatasetError, match=r"action has shape \(20, 2\).*\(20, 1\)"):
        datasets.load(toy_demos(episodes=2, header=np.array(json.dumps(header))))


def test_missing_truncated_and_pickled_files_are_refused(toy_demos, tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        datasets.load(tmp_path / "absent.npz")
    path = toy_demos(episodes=2)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="not a readable"):
        datasets.load(path)
    objects = np.array([{"code": 1}], dtype=object)
    with pytest.raises(DatasetError, match="not a readable"):
        datasets.load(toy_demos(episodes=2, success=objects))
    path = toy_demos(episodes=2)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] ^= 9  # packed in a way that nobody knows: NotImplementedError
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="not a readable"):
        datasets.load(path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DatasetError, match="not a readable"):
        datasets.load(tmp_path / "text.npz")
