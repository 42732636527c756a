"""Requests to the driver's thread."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from rfs_drivers.errors import DriverError
from rfs_drivers.franka_connection import VendorError
from rfs_drivers.franka_faults import Cause, Fault
from rfs_drivers.franka_requests import Requests, refused


def succeed(future: Future[str], line: str) -> None:
    future.set_result(line)


def refuse(future: Future[str]) -> None:
    raise DriverError("not now")


def break_down(future: Future[str]) -> None:
    raise VendorError(Fault(Cause.NETWORK, "cable"))


def test_requests_wake_their_consumer_and_are_carried_out_in_order_and_only_then() -> None:
    wake = threading.Event()
    requests = Requests(wake)
    done: list[str] = []
    first = requests.ask(lambda future: done.append("first") or future.set_result("1"))
    second = requests.ask(lambda future: done.append("second") or future.set_result("2"))
    assert wake.is_set()
    assert not first.done()
    requests.serve()
    assert done == ["first", "second"]
    assert (first.result(0), second.result(0)) == ("1", "2")


def test_a_refused_request_tells_whoever_asked_and_the_next_is_carried_out() -> None:
    requests = Requests(threading.Event())
    first, second = requests.ask(refuse), requests.ask(succeed, "done")
    requests.serve()
    with pytest.raises(DriverError, match="not now"):
        first.result(0)
    assert second.result(0) == "done"


def test_a_robot_that_breaks_down_is_seen_by_whoever_asked_and_by_the_consumer() -> None:
    requests = Requests(threading.Event())
    first, second = requests.ask(break_down), requests.ask(succeed, "done")
    with pytest.raises(VendorError, match="cable"):
        requests.serve()
    with pytest.raises(VendorError, match="cable"):
        first.result(0)
    assert not second.done()
    requests.serve()
    assert second.result(0) == "done"


def test_nobody_waits_for_an_answer_after_the_end() -> None:
    requests = Requests(threading.Event())
    waiting = requests.ask(succeed, "done")
    requests.close()
    with pytest.raises(DriverError, match="the driver was closed"):
        requests.ask(succeed, "done").result(0)
    requests.refuse_waiting()
    with pytest.raises(DriverError, match="the driver was closed"):
        waiting.result(0)
    requests.serve()


def test_what_is_refused_at_once_says_why() -> None:
    with pytest.raises(DriverError, match="too fast"):
        refused("too fast").result(0)
