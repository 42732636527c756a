"""What the fault tests share: promises and the file that they are written to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import promises

_ROWS = pytest.StashKey[dict[str, dict[str, Any]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(_ROWS, {})


@pytest.fixture
def promised(request: pytest.FixtureRequest) -> Iterator[Callable[..., promises.Promise]]:
    """Make a promise; it is recorded when the test ends, kept or not."""
    made: list[promises.Promise] = []

    def make(fault: str, promise: str, measured: str, **options: Any) -> promises.Promise:
        made.append(promises.Promise(fault, promise, measured, **options))
        return made[-1]

    yield make
    rows = request.config.stash[_ROWS]
    for i, promise in enumerate(made):
        if promise.cases:
            test = request.node.nodeid
            rows[f"{test}#{i}" if i else test] = promise.row(test)


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash.get(_ROWS, {})
    if promises.RESULTS and rows:
        promises.write(Path(promises.RESULTS), rows)
