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
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

DOMAINS = range(50, 100)
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


_of_this_run = claimed_domain()
os.environ["ROS_DOMAIN_ID"] = str(_of_this_run.__enter__())


@pytest.fixture(scope="session")
def claim_domain() -> Callable[[], AbstractContextManager[int]]:
    """For tests that need more than one."""
    return claimed_domain


@pytest.fixture
def ros_domain() -> Iterator[int]:
    """A ROS domain for one test."""
    with claimed_domain() as domain:
        yield domain
