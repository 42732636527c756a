"""Engines in environments of their own."""

from pathlib import Path

import pytest

from rfs_core.errors import RfsError
from rfs_learning import elsewhere


class Entry:
    """An entry point."""

    name = "moon"

    def __init__(self, found):
        self.found = found

    def load(self):
        return self.found


def offer(monkeypatch, found):
    """Let engine `moon` have this finder."""
    monkeypatch.setattr(elsewhere, "entry_points", lambda group: [Entry(found)])


def missing():
    raise RfsError("engine moon: make setup-moon")


def test_an_engine_without_an_environment_of_its_own_runs_here(monkeypatch):
    offer(monkeypatch, missing)
    assert elsewhere.interpreter("mujoco") is None
    elsewhere.go("mujoco", "rfs_learning.evaluate", [])


def test_whose_environment_is_missing_names_the_command(monkeypatch):
    offer(monkeypatch, missing)
    with pytest.raises(RfsError, match="make setup-moon"):
        elsewhere.go("moon", "rfs_learning.evaluate", [])


def test_the_process_becomes_the_engine_s_interpreter_without_our_packages(monkeypatch):
    offer(monkeypatch, lambda: Path("/moon/bin/python"))
    monkeypatch.setenv("PYTHONPATH", "ours")
    monkeypatch.setenv("KEPT", "yes")
    called = []
    monkeypatch.setattr(elsewhere.os, "execve", lambda *a: called.append(a))
    elsewhere.go("moon", "rfs_learning.rl.train", ["--ros-args", "-p", "engine:=moon"])
    ((python, words, environment),) = called
    assert python == Path("/moon/bin/python")
    assert words == ["/moon/bin/python", "-m", "rfs_learning.rl.train", "--ros-args", "-p", "engine:=moon"]
    assert environment["KEPT"] == "yes"
    assert "PYTHONPATH" not in environment


def test_the_last_value_of_a_parameter_counts():
    words = ["--ros-args", "-p", "engine:=a", "-p", "engine_x:=c", "-p", "engine:=b"]
    assert elsewhere.parameter(words, "engine", "mujoco") == "b"
    assert elsewhere.parameter(words, "task", "grasp") == "grasp"
