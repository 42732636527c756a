"""Who is waited for: senders that are late, not those that are on time, unknown or gone."""

from __future__ import annotations

import pytest

from rfs_sim.awaited import Awaited

MS = 1_000_000


@pytest.fixture
def policy() -> Awaited:
    """Usually newer than 150 ms, missing from 250 ms on; heard about the time 1.000 s."""
    awaited = Awaited(0.15, 0.25)
    awaited.heard(1000 * MS)
    return awaited


@pytest.mark.parametrize(
    ("age_ms", "late"), [(0, False), (150, False), (151, True), (249, True), (250, False)]
)
def test_late_is_older_than_usual_and_younger_than_gone(policy: Awaited, age_ms: int, late: bool) -> None:
    assert policy.is_late((1000 + age_ms) * MS) is late


def test_the_age_is_that_of_the_stamp_not_of_the_arrival(policy: Awaited) -> None:
    # An answer to what was seen at 1.100 s, whenever it comes: late from 1.250 s on.
    policy.heard(1100 * MS)
    assert not policy.is_late(1250 * MS)
    assert policy.is_late(1251 * MS)


def test_an_older_message_does_not_make_a_sender_late(policy: Awaited) -> None:
    policy.heard(900 * MS)
    assert not policy.is_late(1100 * MS)


def test_nobody_is_waited_for_before_the_first_message_or_after_forgetting(policy: Awaited) -> None:
    assert not Awaited(0.15, 0.25).is_late(200 * MS)
    policy.forget()
    assert not policy.is_late(1200 * MS)
