"""Errors that name what exists."""

import difflib
from collections.abc import Iterable


class CommandError(Exception):
    """What the user asked for cannot be done; the message says why and what to do. Ends with exit code 1."""


def unknown(what: str, name: str, known: Iterable[str], limit: int = 30) -> str:
    """A sentence that says `name` is not a known `what`, names the nearest one, and lists what there is."""
    names = sorted(set(known))
    sentence = f"unknown {what} '{name}'"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        sentence += f", did you mean '{near[0]}'?"
    if not names:
        return f"{sentence}; there are none"
    listed = ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")
    return f"{sentence}; known: {listed}"
