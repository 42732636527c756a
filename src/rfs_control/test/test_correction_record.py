"""What an operator is told while collecting."""

from rfs_control.correction_record import CorrectionRecord
from rfs_control.episode import Outcome, Phase

DT = 50_000_000


def test_corrected_steps_are_counted_once_each_whatever_the_rate():
    """At 50 Hz two or three corrections fall into each control step of 50 ms: here steps 0, 1 and 3."""
    record = CorrectionRecord(DT)
    record.state("a", Phase.RUNNING, Outcome.NONE, 1_000_000_000)
    for ms, engaged in (
        (0, True),
        (20, True),
        (40, True),
        (60, True),
        (110, False),
        (160, True),
        (199, True),
    ):
        record.correction(1_000_000_000 + ms * 1_000_000, engaged)
    assert record.corrected_now == 3


def test_each_episode_is_told_with_the_totals():
    record = CorrectionRecord(DT)
    said = []
    for name, outcome, steps, discard in (
        ("a", Outcome.SUCCESS, 2, False),
        ("b", Outcome.FAILURE, 0, False),
        ("c", Outcome.ABORTED, 1, True),
    ):
        record.state(name, Phase.RUNNING, Outcome.NONE, 0)
        for i in range(steps):
            record.correction(i * DT, True)
        if discard:
            record.discard()
        said.append(record.state(name, Phase.FINISHED, outcome, 0))
        record.correction(0, True)  # between episodes: nobody's
    assert said == [
        "a: success, 2 steps corrected; in all 1 episodes, 1 successes, 0 discarded, 2 steps corrected",
        "b: failure, 0 steps corrected; in all 2 episodes, 1 successes, 0 discarded, 2 steps corrected",
        "c: discarded, 1 steps corrected; in all 3 episodes, 1 successes, 1 discarded, 3 steps corrected",
    ]


def test_a_repeated_or_foreign_end_is_not_counted():
    record = CorrectionRecord(DT)
    record.state("a", Phase.RUNNING, Outcome.NONE, 0)
    assert record.state("z", Phase.FINISHED, Outcome.SUCCESS, 0) == ""
    assert record.state("a", Phase.FINISHED, Outcome.SUCCESS, 0) != ""
    assert record.state("a", Phase.FINISHED, Outcome.SUCCESS, 0) == ""
    assert record.episodes == 1
