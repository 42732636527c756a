"""The lock-step decides on stamps and given wall times only; nothing here waits."""

import pytest

from rfs_core.errors import ConfigError
from rfs_sim.lockstep import Action, Lockstep, LockstepConfig, Part, Phase, TargetRefused

MS = 1_000_000
DT = 50 * MS


def answer(lockstep: Lockstep, stamp: int | None = None) -> None:
    for part in Part:
        lockstep.target(part, lockstep.tick_ns if stamp is None else stamp)


def started(factor: float = 0.0, wall: float = 0.0) -> Lockstep:
    """A lock-step in its first tick of LOCKSTEP, having stepped once at `wall`."""
    lockstep = Lockstep(LockstepConfig(real_time_factor=factor), wall=wall)
    lockstep.reset(wall)
    answer(lockstep)
    assert lockstep.poll(wall).action is Action.STEP
    lockstep.stepped(wall)
    return lockstep


def test_free_world_steps_once_every_50_ms_of_wall_time():
    lockstep = Lockstep(LockstepConfig(), wall=10.0)
    decision = lockstep.poll(10.02)
    assert decision.action is Action.WAIT
    assert decision.until == pytest.approx(10.05)
    assert lockstep.poll(10.05).action is Action.STEP
    lockstep.stepped(10.051)
    assert lockstep.tick_ns == DT
    # The grid stays at multiples of 50 ms although the step was 1 ms late.
    assert lockstep.poll(10.06).until == pytest.approx(10.10)


def test_free_world_is_paced_at_real_time_whatever_the_factor_of_episodes():
    for factor in (0.0, 4.0):
        lockstep = Lockstep(LockstepConfig(real_time_factor=factor), wall=0.0)
        assert lockstep.poll(0.0).until == pytest.approx(0.05)


def test_free_world_never_counts_misses_and_holds_without_commands():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    decision = lockstep.poll(1.0)
    assert (decision.action, decision.missed, decision.hold) == (Action.STEP, False, True)
    assert lockstep.misses_total == 0


def test_free_world_follows_targets_without_an_episode():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    answer(lockstep)
    assert not lockstep.poll(0.05).hold


def test_behind_by_more_than_a_step_slips_the_grid_instead_of_catching_up():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    assert lockstep.poll(0.2).action is Action.STEP
    lockstep.stepped(0.2)  # the next deadline would have been 0.1: already past
    assert lockstep.poll(0.2).until == pytest.approx(0.25)


def test_reset_stops_time_one_tick_later():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    assert lockstep.reset(0.0) == DT
    assert lockstep.reset(0.0) == 2 * DT
    assert lockstep.phase is Phase.WAITING


def test_waiting_is_patient_for_ever_and_republishes_every_200_ms():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    stamp = lockstep.reset(5.0)
    decision = lockstep.poll(5.1)
    assert (decision.action, decision.until) == (Action.WAIT, pytest.approx(5.2))
    assert lockstep.poll(5.2).action is Action.REPUBLISH
    lockstep.published(5.2)
    assert lockstep.poll(5.3).until == pytest.approx(5.4)
    assert lockstep.poll(1e6).action is Action.REPUBLISH
    assert lockstep.tick_ns == stamp
    assert lockstep.misses == 0


@pytest.mark.parametrize("part", list(Part))
def test_one_target_alone_does_not_start_the_episode(part):
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    stamp = lockstep.reset(0.0)
    lockstep.target(part, stamp)
    assert lockstep.poll(0.1).action is Action.WAIT
    assert lockstep.phase is Phase.WAITING


def test_both_targets_start_the_episode_at_once():
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    stamp = lockstep.reset(0.0)
    answer(lockstep, stamp)
    decision = lockstep.poll(0.1)
    assert (decision.action, decision.missed, decision.hold) == (Action.STEP, False, False)
    assert lockstep.phase is Phase.LOCKSTEP
    lockstep.stepped(0.1)
    assert lockstep.tick_ns == stamp + DT


def test_lockstep_at_factor_0_steps_when_answered_and_not_before():
    lockstep = started()
    assert lockstep.poll(0.0).until == pytest.approx(2.0)
    lockstep.target(Part.ARM, lockstep.tick_ns)
    assert lockstep.poll(0.5).action is Action.WAIT
    lockstep.target(Part.HAND, lockstep.tick_ns)
    assert lockstep.poll(0.5).action is Action.STEP


def test_patience_of_2_s_ends_in_a_counted_miss_with_the_last_target():
    lockstep = started()
    assert lockstep.poll(1.999).action is Action.WAIT
    decision = lockstep.poll(2.0)
    assert (decision.action, decision.missed, decision.hold) == (Action.STEP, True, False)
    assert lockstep.misses == lockstep.misses_total == 1
    lockstep.stepped(2.0)
    assert lockstep.poll(2.0).until == pytest.approx(4.0)


def test_arm_holds_at_the_first_tick_150_ms_after_its_last_target():
    lockstep = started()  # answered at t_r; the present tick is t_r + 50 ms
    holds = []
    for k in range(1, 5):
        decision = lockstep.poll(2.0 * k)
        holds.append(decision.hold)
        lockstep.stepped(2.0 * k)
    # Steps at t_r + 50, 100, 150, 200 ms: the target is 150 ms old from the third on.
    assert holds == [False, False, True, True]
    assert lockstep.misses == 4
    assert lockstep.held == 2


def test_late_target_is_taken_but_does_not_answer_the_present_tick():
    lockstep = started()
    lockstep.poll(2.0)
    lockstep.stepped(2.0)
    answer(lockstep, lockstep.tick_ns - DT)
    assert lockstep.poll(2.0).action is Action.WAIT
    # Its age counts from its own stamp: 50 ms now, 150 ms two ticks later.
    lockstep.poll(4.0)
    lockstep.stepped(4.0)
    assert not lockstep.poll(6.0).hold
    lockstep.stepped(6.0)
    assert lockstep.poll(8.0).hold


def test_factor_above_0_sleeps_to_the_deadline_when_early_and_misses_after_it():
    lockstep = started(factor=2.0)  # first step at wall 0: 25 ms of wall time per step
    answer(lockstep)
    decision = lockstep.poll(0.01)
    assert (decision.action, decision.until) == (Action.WAIT, pytest.approx(0.025))
    assert not lockstep.poll(0.025).missed
    lockstep.stepped(0.025)
    assert lockstep.poll(0.049).action is Action.WAIT
    decision = lockstep.poll(0.05)
    assert (decision.action, decision.missed) == (Action.STEP, True)


def test_a_camera_slower_than_a_step_slows_the_world_and_costs_no_answers():
    lockstep = started(factor=2.0)  # 25 ms of wall time per step
    lockstep.stepped(0.025)  # the next deadline is at 0.05
    lockstep.published(0.030)  # 20 ms left: more than half a step
    assert lockstep.poll(0.030).until == pytest.approx(0.05)
    lockstep.published(0.070)  # the pictures came late: 12.5 ms from here
    decision = lockstep.poll(0.070)
    assert (decision.action, decision.until) == (Action.WAIT, pytest.approx(0.0825))
    assert lockstep.poll(0.0825).missed


def test_release_lets_the_wall_clock_move_the_world_again():
    lockstep = started()
    lockstep.release(7.0)
    assert lockstep.phase is Phase.FREE
    assert lockstep.poll(7.01).until == pytest.approx(7.05)
    assert lockstep.poll(7.05).action is Action.STEP


def test_reset_in_the_middle_of_an_episode_starts_counting_again():
    lockstep = started()
    lockstep.poll(2.0)
    lockstep.stepped(2.0)
    lockstep.reset(2.0)
    assert (lockstep.misses, lockstep.misses_total, lockstep.phase) == (0, 1, Phase.WAITING)
    assert not lockstep.answered


@pytest.mark.parametrize(
    ("offset", "why"), [(DT, "future"), (-DT, "before the reset")], ids=["future", "before reset"]
)
def test_targets_of_another_time_are_refused(offset, why):
    lockstep = Lockstep(LockstepConfig(), wall=0.0)
    stamp = lockstep.reset(0.0)
    with pytest.raises(TargetRefused, match=why):
        lockstep.target(Part.ARM, stamp + offset)
    assert lockstep.refused_total == 1
    assert not lockstep.answered


def test_target_out_of_order_is_refused():
    lockstep = started()
    answer(lockstep)
    with pytest.raises(TargetRefused, match="older than the last"):
        lockstep.target(Part.HAND, lockstep.tick_ns - DT)


def test_late_end_of_the_episode_before_does_not_end_this_one():
    lockstep = started()
    old_start, old_end = lockstep.reset_ns, lockstep.tick_ns
    lockstep.release(0.0)
    new_start = lockstep.reset(0.0)
    assert not lockstep.belongs_to_episode(old_end, old_start)
    assert not lockstep.belongs_to_episode(old_end, 0)
    assert lockstep.belongs_to_episode(new_start, new_start)
    # What counts is which start it names, not whose clock was ahead or behind.
    assert not lockstep.belongs_to_episode(new_start, old_start)
    assert lockstep.belongs_to_episode(new_start - DT, new_start)
    # Given up before it ran: no start yet, but published after the reset.
    assert lockstep.belongs_to_episode(new_start, 0)


@pytest.mark.parametrize(
    "wrong", [{"control_dt_ns": 0}, {"patience_s": -1.0}, {"real_time_factor": -0.5}, {"republish_s": 0.0}]
)
def test_impossible_times_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LockstepConfig(**wrong)
