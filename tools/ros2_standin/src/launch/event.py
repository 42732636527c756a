"""Base class of all events."""


class Event:
    """Something that happened or is asked for; event handlers match on its class and members."""

    name = "launch.Event"
