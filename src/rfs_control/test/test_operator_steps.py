"""Nothing is in control that a person has not confirmed by typing, and nothing stays so after a fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rfs_control.nodes.confirm_robot import NotConfirmed, ask, talk
from rfs_control.operator_steps import Operator, OperatorConfig, Stage
from rfs_msgs.srv import Confirm


def confirmed(**config: object) -> Operator:
    operator = Operator(OperatorConfig(**config))  # type: ignore[arg-type]
    assert operator.word("ARM", 0.0, "")[0]
    return operator


def test_no_episode_begins_before_the_word_was_typed() -> None:
    operator = Operator(OperatorConfig())
    assert "not confirmed" in operator.episode()
    assert operator.stage is Stage.UNCONFIRMED


@pytest.mark.parametrize("word", ["arm", " ARM", "ARM ", "yes", "NEXT", ""])
def test_only_the_exact_word_is_taken(word: str) -> None:
    operator = Operator(OperatorConfig())
    taken, sentence = operator.word(word, 0.0, "")
    assert not taken
    assert "'ARM'" in sentence
    assert operator.stage is Stage.UNCONFIRMED


def test_the_word_is_not_taken_while_a_driver_is_away() -> None:
    operator = Operator(OperatorConfig())
    taken, sentence = operator.word("ARM", 0.0, "franka_node is fault")
    assert not taken
    assert "franka_node is fault" in sentence
    assert operator.stage is Stage.UNCONFIRMED


def test_a_driver_that_leaves_control_takes_the_confirmation_with_it() -> None:
    operator = confirmed()
    assert not operator.look(1.0, "")
    assert operator.look(2.0, "franka_node is fault")
    assert operator.stage is Stage.UNCONFIRMED
    # That the driver is well again gives nothing back.
    assert not operator.look(3.0, "")
    assert "franka_node is fault" in operator.episode()
    # Told once only.
    assert not operator.look(4.0, "franka_node is fault")


def test_a_confirmation_grows_old() -> None:
    operator = confirmed(valid_s=60.0)
    assert not operator.look(60.0, "")
    assert operator.look(60.1, "")
    assert "older than 60 s" in operator.reason


def test_every_episode_waits_for_a_person() -> None:
    operator = confirmed()
    assert operator.episode() == ""
    assert operator.at_home()
    assert (operator.stage, operator.expected) == (Stage.PLACING, "NEXT")
    assert "asked for already" in operator.episode()
    # The word for the robot is not the word for the episode.
    assert not operator.word("ARM", 1.0, "")[0]
    assert operator.word("NEXT", 1.0, "")[0]
    assert (operator.stage, operator.expected) == (Stage.READY, "")
    operator.answered()
    # And the next one again.
    assert operator.episode() == ""
    operator.at_home()
    assert operator.stage is Stage.PLACING


def test_the_word_for_the_episode_is_not_taken_while_the_arm_moves_home() -> None:
    operator = confirmed()
    operator.episode()
    assert (operator.stage, operator.expected) == (Stage.HOMING, "")
    taken, sentence = operator.word("NEXT", 1.0, "")
    assert not taken
    assert "still moves home" in sentence
    operator.at_home()
    assert operator.word("NEXT", 2.0, "")[0]


def test_a_confirmation_that_is_renewed_while_the_arm_moves_home_does_not_begin_the_episode() -> None:
    operator = confirmed(valid_s=10.0)
    operator.episode()
    assert operator.look(10.1, "")
    assert operator.word("ARM", 11.0, "")[0]
    assert "still being called off" in operator.episode()
    # The arm is at home now: nobody is waited for, and the request ends without an episode.
    assert not operator.at_home()
    assert "older than 10 s" in operator.lost
    operator.answered()
    # The next request begins from the start.
    assert operator.episode() == ""
    assert operator.lost == ""
    assert operator.at_home()


def test_an_arm_that_did_not_come_home_leaves_the_robot_ready_for_another_request() -> None:
    operator = confirmed()
    operator.episode()
    operator.answered()
    assert operator.stage is Stage.READY
    assert operator.episode() == ""


def test_a_fault_while_the_object_is_put_in_place_ends_the_confirmation() -> None:
    operator = confirmed()
    operator.episode()
    operator.at_home()
    assert operator.look(1.0, "leap_node is fault")
    assert not operator.word("NEXT", 2.0, "")[0]
    # Confirmed anew or not: this episode does not begin.
    assert operator.word("ARM", 3.0, "")[0]
    assert operator.lost == "leap_node is fault"


def test_episodes_need_not_wait_where_so_configured() -> None:
    operator = confirmed(ask_each_episode=False)
    assert operator.episode() == ""
    assert not operator.at_home()
    assert (operator.stage, operator.lost) == (Stage.READY, "")


def answers(*words: str) -> Callable[[str], str]:
    left = list(words)
    return lambda prompt: left.pop(0)


def test_every_line_of_the_checklist_must_be_answered() -> None:
    assert ask(["a", "b"], "ARM", answers("y", "Y", "ARM")) == "ARM"
    with pytest.raises(NotConfirmed, match="not confirmed: b"):
        ask(["a", "b"], "ARM", answers("y", "", "ARM"))


def test_what_was_typed_is_what_is_sent() -> None:
    sent = []

    def call(word: str) -> Confirm.Response:
        sent.append(word)
        return Confirm.Response(success=word == "ARM", message="heard", checklist=["a"], expected="ARM")

    assert talk(call, answers("y", "ARM")) == "heard"
    assert sent == ["", "ARM"]
    with pytest.raises(NotConfirmed, match="heard"):
        talk(call, answers("y", "arm"))


def test_where_nothing_is_waited_for_nothing_is_asked() -> None:
    def call(word: str) -> Confirm.Response:
        assert word == ""
        return Confirm.Response(message="ready")

    assert talk(call, answers()) == "ready"
