"""Why a bag cannot be used, each reason with a name that reports and trainers can count."""

from __future__ import annotations

import enum

from rfs_core.errors import RfsError


class Reason(enum.Enum):
    """What is wrong with a bag."""

    NOT_A_BAG = "not_a_bag"
    """No folder of the recorder."""
    UNFINISHED = "unfinished"
    """Its recorder did not close it; recover_bag makes a bag of it."""
    EMPTY = "empty"
    """No message at all."""
    TRUNCATED = "truncated"
    """Shorter than it was when it was closed."""
    DAMAGED = "damaged"
    """Bytes are not those that were written."""
    FORMAT_VERSION = "format_version"
    """Written by a program of another format."""
    OTHER_SPEC = "other_spec"
    """Actions or observations of another robot, task or version."""
    NO_STEPS = "no_steps"
    """Not a single decision of the policy."""
    ONE_STEP = "one_step"
    """A single decision: nothing to learn from."""
    NO_REWARD = "no_reward"
    """Executed steps without their reward."""
    MISSING_STEPS = "missing_steps"
    """Decisions or observations between its first and last step are not there."""
    NOT_FINITE = "not_finite"
    """NaN or infinity among its values."""
    CORRECTION_LOST = "correction_lost"
    """The human's device fell silent while it was correcting; its residual faded out."""
    LOST_MESSAGES = "lost_messages"
    """Fewer messages than were published; every step is there all the same."""


class BagError(RfsError):
    """A bag that cannot be written or used."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        """Args: reason: for programs; sentence: for people, what and what to do."""
        super().__init__(sentence)
        self.reason = reason


class StorageError(RfsError):
    """The disk refuses."""
