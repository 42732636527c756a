"""Every run of the tests works in ROS domains of its own.

Tests in two runs on one machine must not hear each other, and none may reach a robot: a shell in a laboratory
often has the robot's ROS_DOMAIN_ID set. Domains are claimed by locks on files, which end with the process.
"""

from __future__ import annotations

import fcntl
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

DOMAINS = range(20, 100)
"""Far from 0, and low enough (<= 101) for the ports not to be those that Linux gives to clients."""


@contextmanager
def claimed_domain() -> Iterator[int]:
    """A domain that no other run of the tests on this machine uses meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"rfs_test_domains_{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for domain in random.sample(DOMAINS, len(DOMAINS)):
        with (folder / str(domain)).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    raise RuntimeError(f"all ROS domains of {DOMAINS} are in use by other tests: wait until they end")


NAME = "ROS_DOMAIN_ID"
_claims = ExitStack()
_of_modules: dict[Path, int] = {}
"""Of modules that read the variable when they are imported."""
_claim_of_current = ExitStack()
_current: Path | None = None
os.environ[NAME] = str(_claims.enter_context(claimed_domain()))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """A module that speaks of domains knows its own from the beginning."""
    if isinstance(collector, pytest.Module) and NAME in collector.path.read_text(encoding="utf-8"):
        if collector.path not in _of_modules:
            _of_modules[collector.path] = _claims.enter_context(claimed_domain())
        os.environ[NAME] = str(_of_modules[collector.path])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every module has a domain of its own, so that none hears what another has left behind."""
    global _current
    if item.path == _current:
        return
    _current = item.path
    _claim_of_current.close()
    own = _of_modules.get(item.path)
    os.environ[NAME] = str(_claim_of_current.enter_context(claimed_domain()) if own is None else own)


@pytest.fixture(scope="session")
def claim_domain() -> Callable[[], AbstractContextManager[int]]:
    """For tests that need more than one."""
    return claimed_domain


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS domain for one test."""
    with claimed_domain() as domain:
        yield domain
