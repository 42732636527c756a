"""Distillation on a toy: a point walks to a goal that its teacher knows and it sees as a little cloud."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_task import ACTION, OBSERVATION, PointEnv

from rfs_core.errors import RfsError
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks import points as points_task
from rfs_learning import checkpoint
from rfs_learning.distill import collector as collector_module
from rfs_learning.distill.augment import Augmentation
from rfs_learning.distill.collector import action_noise
from rfs_learning.distill.config import DistillConfig
from rfs_learning.distill.runner import DistillRunner, student_of
from rfs_learning.distill.store import CENTRE, Rows, Store, StoreError, StoreHeader
from rfs_learning.evaluate import play
from rfs_learning.policy import Policy, PolicyOutput

COUNT = 16
SEEN = ObservationSpec(
    (
        Part("palm_position", (3,), "m", -1.5, 1.5, "fr3_link0"),
        Part("palm_rotation", (6,), "1", -1.0, 1.0, "fr3_link0"),
        points_task.part(COUNT),
    )
)


class CloudEnv(PointEnv):
    """PointEnv as a camera sees it: the walker is the palm, the goal a ring of points."""

    observation_spec = SEEN

    def state_observation(self):
        return super()._observe()

    def _observe(self):
        angle = np.linspace(0, 2 * np.pi, COUNT, endpoint=False)
        ring = 0.1 * np.stack([np.cos(angle), np.sin(angle), np.zeros(COUNT)], axis=1)
        flat = np.zeros((self.num_envs, 1))
        cloud = np.concatenate([self.goal, flat], axis=1)[:, None] + ring
        upright = np.tile([1.0, 0, 0, 0, 1, 0], (self.num_envs, 1))
        palm = np.concatenate([self.position, flat, upright], axis=1)
        return np.concatenate([palm, cloud.reshape(self.num_envs, -1)], axis=1).astype(np.float32)


class Teacher:
    """Half of the way at each step."""

    checkpoint_id = "walker@000000000000"
    header = SimpleNamespace(task="point", observation_spec=OBSERVATION)

    def act(self, observation, noise):
        way = observation[:, 2:] - observation[:, :2]
        first = np.clip(0.5 * way, -0.1, 0.1)
        second = np.clip(0.5 * (way - first), -0.1, 0.1)
        a = np.stack([first, second], axis=1).astype(np.float64)
        return PolicyOutput(noise, a, np.zeros_like(a), a)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The collector finds the toy and its teacher; returns a configuration."""
    monkeypatch.setattr(collector_module.Policy, "load", lambda path: Teacher())
    made = {"points": CloudEnv, "state": PointEnv}

    def make_env(engine, task, num_envs, **options):
        return made[options.get("observation", "state")](num_envs)

    monkeypatch.setattr(collector_module, "make_env", make_env)
    teacher = tmp_path / "teacher.safetensors"
    teacher.write_bytes(b"a teacher")
    return DistillConfig(
        teacher=str(teacher), run_dir=str(tmp_path / "run"), envs=20, episodes=30, action_noise=0.1, steps=30,
        rounds=1, round_episodes=20, round_steps=10, batch_size=32, training_points=8, point_width=16,
        point_features=8, hidden_width=32, hidden_layers=2, log_every=10, checkpoint_every=15, warmup_steps=5,
        shift=0.0, jitter=0.0, crop_share=0.0, points=COUNT, validation_share=0.2, learning_rate=3e-3,
    )  # fmt: skip


def weights(runner):
    return torch.cat([tensor.flatten().double() for tensor in runner.student.flow.parameters()])


def test_a_run_collects_trains_lets_the_student_act_and_leaves_a_base_policy(toy):
    runner = DistillRunner(toy, "distil")
    path = runner.run()
    runner.close()
    first, second = runner.collector.of_round(0), runner.collector.of_round(1)
    assert sum(line["success"] for line in first) >= 30
    # Of the teacher's episodes only successes are kept, of the student's all; 6 decisions each.
    assert all(line["rows"] == (6 if line["success"] else 0) for line in first)
    assert len(second) == 20
    assert sum(line["rows"] for line in second) > 0
    loaded = checkpoint.load(path)
    assert (loaded.header.kind, loaded.header.task) == ("flow_base", "point")
    assert loaded.header.observation_spec.differences(SEEN) == []
    assert loaded.header.parents[0]["id"] == Teacher.checkpoint_id
    assert "round 1, the student acted: 20 episodes" in (runner.folder.path / "report.md").read_text()
    policy = Policy.from_checkpoint(loaded)
    assert policy.act(CloudEnv(3).reset(0, np.arange(3)), np.zeros((3, 2, 2), np.float32)).a.shape == (
        3,
        2,
        2,
    )


def test_a_student_finds_what_it_only_sees_as_a_cloud(toy):
    longer = dataclasses.replace(toy, steps=300, rounds=0, episodes=60, log_every=300, checkpoint_every=300)
    runner = DistillRunner(longer, "distil")
    policy = Policy.from_checkpoint(checkpoint.load(runner.run()), a0="zero")
    runner.close()
    played = play(policy, CloudEnv(40), 999, np.arange(40))
    # Standing still succeeds where the goal is within 5 cm of the start: in about one of a hundred.
    assert sum(episode.success for episode in played) >= 20


def test_a_run_that_was_interrupted_ends_with_the_same_weights(toy, tmp_path):
    whole = DistillRunner(toy, "distil")
    whole.run()
    whole.close()
    cut = dataclasses.replace(toy, run_dir=str(tmp_path / "cut"))
    for resume in (False, True):  # cut within the first round's steps, then between the rounds
        runner = DistillRunner(dataclasses.replace(cut, resume=resume), "distil")
        for _ in range(4):
            runner.advance(7)
        runner.save()
        runner.close()
    resumed = DistillRunner(dataclasses.replace(cut, resume=True), "distil")
    assert 0 < resumed.step < 40
    resumed.run()
    resumed.close()
    torch.testing.assert_close(weights(resumed), weights(whole), rtol=0, atol=0)


def state_rows(value):
    """Three rows of the toy's state, all of them `value`."""
    seen = np.full((3, 4), value, np.float32)
    return Rows(seen, np.zeros((3, 0, 3), np.float32), seen, np.zeros((3, 2, 2), np.float32))


def learned_from(runner):
    """What the rows hold that a runner learns from in its present round."""
    runner._lay_out()
    return np.asarray(runner._arrays["own"][runner._train])[:, 0].tolist()


def test_students_that_share_the_teachers_episodes_keep_their_own_apart(toy, tmp_path):
    shared = dataclasses.replace(
        toy, observation="state", data_dir=str(tmp_path / "rows"), validation_share=0.0, episodes=2,
        round_episodes=1,
    )  # fmt: skip

    def student(run, width):
        return DistillRunner(
            dataclasses.replace(shared, run_dir=str(tmp_path / run), hidden_width=width), "distil"
        )

    first = student("one", 16)
    # In the order on the disk: the teacher's, one in which the first student acted, the teacher's.
    acted = {"student": first.collector.student, "round": 1}
    first.collector.store.append([(line(0), state_rows(1.0))])
    first.collector.store.append([(line(1) | acted, state_rows(2.0)), (line(2), state_rows(3.0))])
    second = student("two", 32)
    assert (first.collector.missing(1), second.collector.missing(1)) == (0, 1)
    assert learned_from(first) == learned_from(second) == [1.0] * 3 + [3.0] * 3
    first.round = second.round = 1
    assert learned_from(first) == [1.0] * 3 + [2.0] * 3 + [3.0] * 3
    assert learned_from(second) == [1.0] * 3 + [3.0] * 3
    second.collector.batch(1, Teacher())
    assert {one["student"] for one in second.collector.of_round(1)} == {second.collector.student}
    for runner in (first, second):
        runner.close()


def test_a_student_is_known_by_its_settings_wherever_its_files_are(toy):
    elsewhere = dataclasses.replace(toy, run_dir="a", data_dir="b", teacher="c", threads=2)
    assert student_of(elsewhere) == student_of(toy)
    for other in ({"hidden_width": 64}, {"steps": 31}, {"name": "mine"}):
        assert student_of(dataclasses.replace(toy, **other)) != student_of(toy)


def test_a_student_that_is_resumed_with_more_steps_keeps_its_episodes(toy):
    runner = DistillRunner(toy, "distil")
    while runner.round == 0:
        runner.advance(30)
    runner.advance(1)  # 20 episodes in which it acts
    runner.close()
    resumed = DistillRunner(dataclasses.replace(toy, resume=True, rounds=2, round_steps=20), "distil")
    assert resumed.collector.missing(1) == 0
    resumed.close()


def test_a_run_of_other_settings_is_not_resumed(toy):
    runner = DistillRunner(toy, "distil")
    for _ in range(4):
        runner.advance(7)
    runner.save()
    runner.close()
    with pytest.raises(RfsError, match=r"batch_size was 32, is 16"):
        DistillRunner(dataclasses.replace(toy, resume=True, batch_size=16), "distil")


def test_a_state_student_learns_from_the_same_rows_without_clouds(toy):
    config = dataclasses.replace(toy, observation="state", rounds=0)
    runner = DistillRunner(config, "distil")
    loaded = checkpoint.load(runner.run())
    runner.close()
    assert loaded.header.architecture["type"] == "mlp"
    assert loaded.header.observation_spec.differences(OBSERVATION) == []
    assert not (runner.collector.store.path / "points.f16").exists()


def test_a_teacher_that_never_succeeds_is_named(toy, monkeypatch):
    monkeypatch.setattr(Teacher, "act", lambda self, o, n: PolicyOutput(n, n * 0.0, n * 0.0, n * 0.0))
    runner = DistillRunner(dataclasses.replace(toy, episodes=1, action_noise=0.0, envs=1), "distil")
    with pytest.raises(RfsError, match="succeeded in"):
        runner.run()
    runner.close()


# --- the store


def header(**changes):
    fields = {
        "task": "point",
        "action_spec": ACTION,
        "observation_spec": SEEN,
        "state_spec": OBSERVATION,
        "teacher": "walker@0",
        "seed": 1,
        "settings": {"noise": 0.0},
    }
    return StoreHeader(**{**fields, **changes})


def rows(count, start=0.0):
    return Rows(
        own=np.full((count, 9), start, np.float32),
        points=np.full((count, COUNT, 3), 0.5, np.float32),
        state=np.zeros((count, 4), np.float32),
        action=np.zeros((count, 2, 2), np.float32),
    )


def line(episode, success=True):
    return {"episode": episode, "round": 0, "success": success}


def test_rows_come_back_as_they_were_and_points_to_a_quarter_of_a_millimetre(tmp_path):
    store = Store(tmp_path, header())
    cloud = np.random.default_rng(0).uniform((0.3, -0.4, 0.0), (0.8, 0.4, 0.6), (3, COUNT, 3))
    kept = dataclasses.replace(rows(3, 7.0), points=cloud.astype(np.float32))
    store.append([(line(0), kept), (line(1, success=False), None)])
    again = Store(tmp_path, header())
    assert (again.rows, again.next_episode) == (3, 2)
    np.testing.assert_array_equal(again.array("own"), kept.own)
    np.testing.assert_allclose(again.array("points") + CENTRE, cloud, atol=2.5e-4)


def test_what_a_crash_left_behind_the_last_whole_episode_is_cut_off(tmp_path):
    store = Store(tmp_path, header())
    store.append([(line(0), rows(2))])
    with (tmp_path / "own.f32").open("ab") as file:
        file.write(b"\1" * 50)  # rows without a line
    with (tmp_path / "episodes.jsonl").open("a") as file:
        file.write('{"episode": 1, "ro')  # a line that is cut
    again = Store(tmp_path, header())
    assert (again.rows, again.next_episode) == (2, 1)
    assert (tmp_path / "own.f32").stat().st_size == 2 * 9 * 4
    again.append([(line(1), rows(1, 5.0))])
    np.testing.assert_array_equal(Store(tmp_path, header()).array("own")[:, 0], [0, 0, 5])


def test_rows_that_are_missing_are_noticed(tmp_path):
    Store(tmp_path, header()).append([(line(0), rows(2))])
    (tmp_path / "state.f32").write_bytes(b"")
    with pytest.raises(StoreError, match="has 0 bytes"):
        Store(tmp_path, header())


def test_the_store_of_something_else_is_refused_naming_what_differs(tmp_path):
    Store(tmp_path, header())
    with pytest.raises(StoreError, match="rows of another settings"):
        Store(tmp_path, header(settings={"noise": 0.1}))


def test_a_store_whose_header_is_no_header_is_refused(tmp_path):
    (tmp_path / "header.json").write_text(json.dumps({"task": "point"}))
    with pytest.raises(StoreError, match="collect anew"):
        Store(tmp_path, header())


# --- augmentation


def test_thinned_clouds_hold_only_points_of_the_cloud():
    cloud = torch.rand((4, 100, 3), generator=torch.Generator().manual_seed(0))
    thin = Augmentation(20, 0.0, 0.0, 0.0, 0.0)
    sizes = set()
    for seed in range(20):
        out = thin(cloud, torch.Generator().manual_seed(seed))
        sizes.add(out.shape[1])
        assert {tuple(p) for p in out[2].tolist()} <= {tuple(p) for p in cloud[2].tolist()}
    assert sizes == {20, 40, 80}


def test_a_ball_of_points_is_gone_and_nothing_else():
    # Two clusters, 1 m apart: a ball of 10 cm takes all of one, which becomes copies of the other's.
    cloud = torch.cat([torch.zeros(1, 8, 3), torch.ones(1, 8, 3)], dim=1)
    cut = Augmentation(16, 0.0, 0.0, 1.0, 0.1)(cloud, torch.Generator().manual_seed(0))
    assert len({tuple(point) for point in cut[0].tolist()}) == 1


def test_shift_moves_a_cloud_as_a_whole():
    cloud = torch.zeros(3, 10, 3)
    moved = Augmentation(10, 0.0, 0.01, 0.0, 0.0)(cloud, torch.Generator().manual_seed(0))
    assert float(moved.std(dim=1).max()) == 0.0
    assert float(moved.abs().max()) > 0.0


def test_action_noise_is_a_share_of_the_range_and_less_for_fingers():
    np.testing.assert_allclose(action_noise(ACTION, 0.1), [0.01, 0.01])
    assert action_noise(ACTION, 0.0) is None
    fingers = dataclasses.replace(ACTION, parts=(Part("hand_target", (2,), "rad", -1.0, 1.0),))
    np.testing.assert_allclose(action_noise(fingers, 0.1), [0.02, 0.02])
