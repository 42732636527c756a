"""Messages that have arrived and wait for their callback.

An executor hands over one message of a topic, then looks at everything else. After a pause (a busy machine,
a long callback) the clock has gone on while the oldest of the waiting messages are read first: who judges by
age takes all of them before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.subscription import Subscription


def taken(subscription: Subscription) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Take what waits, oldest first; the executor will not see it.

    Args:
        subscription: of the calling thread's own node: no other thread may take from it meanwhile.

    Yields:
        message (bytes of a raw subscription) and info, as the executor would give them to the callback.
    """
    while (pair := subscription.handle.take_message(subscription.msg_type, subscription.raw)) is not None:
        yield pair
