"""PolicyStep: which tick is due, which noise it gets, what is published."""

from types import SimpleNamespace

import numpy as np
import pytest

from rfs_control.policy_step import EpisodeClock, PolicyStep
from rfs_core.errors import RfsError
from rfs_core.seeding import episode_rng
from rfs_core.specs import ActionSpec, Part

MS = 1_000_000
SPEC = ActionSpec((Part("arm", (3,), "m", -1.0, 1.0),), control_dt=0.05, horizon=2)


class EchoPolicy:
    """a_0 is the noise, a_b the first observed value everywhere, a_r a tenth of it."""

    def __init__(self):
        self.noise = []

    def act(self, observation, noise):
        self.noise.append(noise.copy())
        a_b = np.full(noise.shape, observation[0, 0], dtype=np.float64)
        return SimpleNamespace(a_0=noise, a_b=a_b, a_r=0.1 * a_b, a=1.1 * a_b)


@pytest.fixture
def step():
    return PolicyStep(EchoPolicy(), SPEC)


def clock(**changes):
    values = {"seed": 0, "episode": 0, "started_ns": 500 * MS, "max_steps": 5, "control_dt_ns": 50 * MS}
    return EpisodeClock(**{**values, "horizon": 2, **changes})


def test_decisions_are_due_every_horizon_control_steps_from_the_start():
    # 2 control steps of 50 ms: due at 500, 600, 700 ms.
    assert [clock().tick_ns(k) // MS for k in (0, 1, 2)] == [500, 600, 700]
    assert clock().due(500 * MS - 1) == -1
    assert clock().due(500 * MS) == 0
    assert clock().due(600 * MS - 1) == 0
    assert clock().due(600 * MS) == 1


def test_no_decision_is_due_once_the_episode_is_truncated():
    # 5 control steps: decisions 0, 1, 2 act on steps 0-1, 2-3, 4; decision 3 would act on step 6.
    assert [clock().over(k) for k in (0, 1, 2, 3)] == [False, False, False, True]
    assert not clock(max_steps=0).over(1000)


def test_noise_is_drawn_from_the_episode_as_evaluate_draws_it(step):
    step.begin(seed=7, episode=3, started_ns=0, max_steps=64)
    for k in range(3):
        step.decide(np.zeros(4, dtype=np.float32), k * 100 * MS)
    rng = episode_rng(7, 3, "policy_noise")
    for drawn in step.policy.noise:
        expected = rng.standard_normal((2, 3)).astype(np.float32)
        assert drawn.dtype == np.float32
        np.testing.assert_array_equal(drawn[0], expected)


def test_a_missed_decision_does_not_shift_the_noise_of_the_next(step):
    step.begin(seed=7, episode=3, started_ns=0, max_steps=64)
    assert step.skip_to(2) == 2
    decision = step.decide(np.zeros(4, dtype=np.float32), 200 * MS)
    rng = episode_rng(7, 3, "policy_noise")
    third = [rng.standard_normal((2, 3)) for _ in range(3)][2].astype(np.float32)
    np.testing.assert_array_equal(decision.a_0, third)
    assert decision.index == 2
    assert step.skip_to(1) == 0  # never back


def test_a_decision_carries_the_chunk_and_its_observation(step):
    step.begin(seed=0, episode=9, started_ns=0, max_steps=64)
    decision = step.decide(np.array([2.0, 0.0], dtype=np.float32), 100 * MS)
    assert (decision.episode, decision.observation_stamp_ns) == (9, 100 * MS)
    for name, value in (("a_b", 2.0), ("a_r", 0.2), ("a", 2.2)):
        chunk = getattr(decision, name)
        assert chunk.shape == (2, 3)
        np.testing.assert_allclose(chunk, value, rtol=1e-15)


def test_the_sequence_goes_on_over_episodes_and_checkpoints(step):
    observation = np.zeros(4, dtype=np.float32)
    step.begin(0, 0, 0, 64)
    assert [step.decide(observation, 0).sequence for _ in range(2)] == [1, 2]
    step.end()
    step.swap(EchoPolicy(), SPEC)
    step.begin(0, 1, 0, 64)
    assert step.decide(observation, 0).sequence == 3


def test_a_checkpoint_is_not_swapped_within_an_episode(step):
    old = step.policy
    step.begin(0, 4, 0, 64)
    with pytest.raises(RfsError, match="episode 4 is running: a checkpoint is swapped between episodes only"):
        step.swap(EchoPolicy(), SPEC)
    assert step.policy is old


def test_nothing_is_decided_without_an_episode(step):
    with pytest.raises(RfsError, match="no episode is running"):
        step.decide(np.zeros(4, dtype=np.float32), 0)


@pytest.mark.parametrize(
    ("name", "chunk", "message"),
    [
        ("a", np.zeros((1, 2, 4)), r"a of shape \(1, 2, 4\), must be \(1, 2, 3\)"),
        ("a_b", np.full((1, 2, 3), np.nan), "a_b with values that are not finite"),
    ],
)
def test_an_answer_that_cannot_be_an_action_is_an_error(step, name, chunk, message):
    good = np.zeros((1, 2, 3))
    answer = SimpleNamespace(**{**dict.fromkeys(("a_0", "a_b", "a_r", "a"), good), name: chunk})
    step.policy = SimpleNamespace(act=lambda observation, noise: answer)
    step.begin(0, 0, 0, 64)
    with pytest.raises(RfsError, match=message):
        step.decide(np.zeros(4, dtype=np.float32), 0)
    assert step.sequence == 0
