"""ObservationWindow: complete, waiting, stale or from the future, and which part is to blame."""

import numpy as np
import pytest

from rfs_control.observation_window import ObservationWindow, ObservationWindowConfig, Verdict
from rfs_core.errors import RfsError
from rfs_core.specs import ObservationSpec, Part
from rfs_core.tasks import parts as task_parts

MS = 1_000_000
SPEC = ObservationSpec((Part("arm", (2,), "rad", -1.0, 1.0), Part("object", (3,), "m", -1.0, 1.0)))


@pytest.fixture
def window():
    return ObservationWindow(
        SPEC, ObservationWindowConfig(stale_after_s=0.2, future_tolerance_s=0.02, depth=4)
    )


def test_exact_is_complete_when_every_part_carries_the_tick(window):
    window.add("object", 100 * MS, np.array([3.0, 4.0, 5.0]))
    window.add("arm", 100 * MS, np.array([1.0, 2.0]))
    assembled = window.exact(100 * MS)
    assert assembled.verdict is Verdict.COMPLETE
    assert assembled.stamp_ns == 100 * MS
    assert assembled.reasons == ()
    assert assembled.observation.dtype == np.float32
    np.testing.assert_array_equal(assembled.observation, [1, 2, 3, 4, 5])  # in the order of the spec


def test_exact_ignores_samples_between_and_after_the_tick(window):
    window.add("object", 100 * MS, np.array([3.0, 4.0, 5.0]))
    for k, value in ((90, -1.0), (100, 1.0), (110, -2.0)):
        window.add("arm", k * MS, np.array([value, value]))
    np.testing.assert_array_equal(window.exact(100 * MS).observation, [1, 1, 3, 4, 5])


def test_exact_waits_for_a_part_and_names_it(window):
    window.add("arm", 100 * MS, np.zeros(2))
    window.add("object", 80 * MS, np.zeros(3))
    assembled = window.exact(100 * MS)
    assert assembled.verdict is Verdict.WAITING
    assert assembled.observation is None
    assert assembled.reasons == ("object: newest sample is 20 ms behind",)


def test_exact_names_a_part_that_never_came(window):
    assert window.exact(0).reasons == ("arm: nothing received yet", "object: nothing received yet")


def test_exact_is_stale_when_the_sample_of_the_tick_is_lost(window):
    window.add("arm", 100 * MS, np.zeros(2))
    window.add("object", 90 * MS, np.zeros(3))
    window.add("object", 150 * MS, np.zeros(3))
    assembled = window.exact(100 * MS)
    assert assembled.verdict is Verdict.STALE
    assert assembled.reasons == ("object: no sample of this time, and the newest is already 50 ms later",)


def test_newest_is_complete_at_the_age_limit_and_stale_a_nanosecond_later(window):
    window.add("arm", 100 * MS, np.zeros(2))
    window.add("object", 250 * MS, np.zeros(3))
    assembled = window.newest(300 * MS)  # arm is 200 ms old: allowed
    assert assembled.verdict is Verdict.COMPLETE
    assert assembled.stamp_ns == 100 * MS  # as old as its oldest part
    stale = window.newest(300 * MS + 1)
    assert stale.verdict is Verdict.STALE
    assert stale.reasons == ("arm: 200 ms old, at most 200 ms are allowed",)


def test_newest_refuses_a_part_from_the_future(window):
    window.add("arm", 100 * MS, np.zeros(2))
    window.add("object", 120 * MS + 1, np.zeros(3))  # 20 ms and 1 ns ahead of 100 ms
    assembled = window.newest(100 * MS)
    assert assembled.verdict is Verdict.FUTURE
    assert "object: stamped 20 ms in the future" in assembled.reasons[0]
    assert window.newest(100 * MS + 1).verdict is Verdict.COMPLETE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_not_kept(window, bad):
    window.add("object", 0, np.zeros(3))
    assert "not finite at index [1]" in window.add("arm", 0, np.array([0.0, bad]))
    assembled = window.exact(0)
    assert assembled.verdict is Verdict.WAITING
    assert assembled.reasons == ("arm: not finite at index [1]",)


def test_a_wrong_length_is_not_kept_and_both_lengths_are_named(window):
    assert window.add("object", 0, np.zeros(4)) == "object: got 4 values, needs 3"


def test_the_reason_of_a_refused_message_is_told_until_a_good_one_comes(window):
    window.add("arm", 0, np.zeros(2))
    window.refuse(("object",), "frame is 'map', must be 'fr3_link0'")
    assert window.exact(0).reasons == ("object: frame is 'map', must be 'fr3_link0'",)
    window.add("object", 0, np.zeros(3))
    assert window.exact(0).verdict is Verdict.COMPLETE


def test_unknown_part_lists_the_known_ones(window):
    with pytest.raises(RfsError, match="no part 'hand'; its parts are arm, object"):
        window.add("hand", 0, np.zeros(2))


def test_time_going_backwards_forgets_what_was_before(window):
    window.add("arm", 500 * MS, np.ones(2))
    window.add("arm", 100 * MS, np.zeros(2))
    window.add("object", 500 * MS, np.zeros(3))
    assert window.exact(500 * MS).verdict is Verdict.WAITING
    assert window.newest_common_ns() == 100 * MS


def test_the_same_stamp_again_replaces_the_sample(window):
    window.add("object", 0, np.zeros(3))
    window.add("arm", 0, np.array([1.0, 1.0]))
    window.add("arm", 0, np.array([2.0, 2.0]))
    np.testing.assert_array_equal(window.exact(0).observation, [2, 2, 0, 0, 0])


def test_newest_common_time_is_that_of_the_slowest_part(window):
    assert window.newest_common_ns() is None
    window.add("arm", 100 * MS, np.zeros(2))
    assert window.newest_common_ns() is None
    window.add("object", 40 * MS, np.zeros(3))
    assert window.newest_common_ns() == 40 * MS


def test_only_the_last_samples_are_kept(window):
    window.add("object", 10 * MS, np.zeros(3))
    for k in range(1, 6):  # 10, 20, ..., 50 ms; four are kept
        window.add("arm", k * 10 * MS, np.zeros(2))
    assert window.exact(10 * MS).verdict is Verdict.STALE


def test_a_derived_part_is_made_of_the_measured_ones_and_never_waited_for():
    spec = ObservationSpec((task_parts.GOAL_OFFSET, task_parts.OBJECT_POSITION, task_parts.GOAL_POSITION))
    window = ObservationWindow(spec, ObservationWindowConfig())
    assert window.parts == ("object_position", "goal_position")
    window.add("object_position", 100 * MS, np.array([0.50, 0.10, 0.30]))
    window.add("goal_position", 100 * MS, np.array([0.52, 0.00, 0.28]))
    for assembled in (window.exact(100 * MS), window.newest(110 * MS)):
        offset = [0.02, -0.05, -0.02]  # -0.1 in y is cut off at 5 cm
        np.testing.assert_allclose(
            assembled.observation, [*offset, 0.5, 0.1, 0.3, 0.52, 0.0, 0.28], atol=1e-6
        )
