"""What actions and substitutions see while a description is launched."""

from __future__ import annotations

import asyncio
import collections
import os
import shutil
import tempfile
import types
import uuid
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from .event import Event

if TYPE_CHECKING:
    from .event_handler import BaseEventHandler
    from .substitution import Substitution


class LaunchContext:
    """Launch configurations, environment, locals, event handlers and the event queue of one launch."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        self._argv = list(argv or ())
        self._noninteractive = noninteractive
        self._event_queue: asyncio.Queue[Event] = asyncio.Queue()
        self._event_handlers: collections.deque[BaseEventHandler] = collections.deque()
        self._completion_futures: list[asyncio.Future] = []
        self._globals: dict[str, Any] = {}
        self._locals: dict[str, Any] = {}
        self._locals_stack: list[dict[str, Any]] = []
        self._launch_configurations: dict[str, str] = {}
        self._launch_configurations_stack: list[dict[str, str]] = []
        self._environment_stack: list[dict[str, str]] = []
        self._environment_reset = dict(os.environ)
        self._is_shutdown = False
        self._asyncio_loop: asyncio.AbstractEventLoop | None = None
        self.mark = uuid.uuid4().hex
        """In the environment of every descendant of this launch, so that none is overlooked at the end."""

    @property
    def argv(self) -> list[str]:
        """Arguments of the launch, as given on the command line."""
        return self._argv

    @property
    def noninteractive(self) -> bool:
        """True when no terminal is associated."""
        return self._noninteractive

    @property
    def is_shutdown(self) -> bool:
        """True from the beginning of the shutdown on."""
        return self._is_shutdown

    def _set_is_shutdown(self, state: bool) -> None:
        self._is_shutdown = state

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop the launch runs in; None when it does not run."""
        return self._asyncio_loop

    def _set_asyncio_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._asyncio_loop = loop

    def add_completion_future(self, completion_future: asyncio.Future) -> None:
        """The launch does not end before this future is done."""
        self._completion_futures.append(completion_future)

    # Temporary files ---------------------------------------------------------------------------------------

    @property
    def temporary_directory(self) -> str:
        """Path of the folder for this launch's temporary files. It may not exist yet."""
        return os.path.join(tempfile.gettempdir(), f"launch_params_{self.mark}")

    def make_temporary_file(self, suffix: str) -> str:
        """Path of a new empty file that is removed when the launch ends."""
        os.makedirs(self.temporary_directory, mode=0o700, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix="launch_params_", suffix=suffix, dir=self.temporary_directory)
        os.close(handle)
        return path

    def _remove_temporary_files(self) -> None:
        shutil.rmtree(self.temporary_directory, ignore_errors=True)

    # Locals ------------------------------------------------------------------------------------------------

    def _push_locals(self) -> None:
        self._locals_stack.append(dict(self._locals))

    def _pop_locals(self) -> None:
        self._locals = self._locals_stack.pop()

    def extend_globals(self, extensions: dict[str, Any]) -> None:
        """Add members to `locals` for good; overlapping locals override them."""
        self._globals.update(extensions)

    def extend_locals(self, extensions: dict[str, Any]) -> None:
        """Add members to `locals` until the event at hand is handled."""
        self._locals.update(extensions)

    def get_locals_as_dict(self) -> dict[str, Any]:
        """The members of `locals`."""
        return {**self._globals, **self._locals}

    @property
    def locals(self) -> types.SimpleNamespace:
        """Context-dependent members, e.g. `locals.event` in an event handler's actions."""
        return types.SimpleNamespace(**self.get_locals_as_dict())

    # Environment and configurations ------------------------------------------------------------------------

    @property
    def environment(self) -> MutableMapping[str, str]:
        """The environment that children get."""
        return os.environ

    def _push_environment(self) -> None:
        self._environment_stack.append(dict(os.environ))

    def _pop_environment(self) -> None:
        saved = self._environment_stack.pop()
        os.environ.clear()
        os.environ.update(saved)

    def _reset_environment(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment_reset)

    @property
    def launch_configurations(self) -> dict[str, str]:
        """Arguments and settings by name."""
        return self._launch_configurations

    def _push_launch_configurations(self) -> None:
        self._launch_configurations_stack.append(dict(self._launch_configurations))

    def _pop_launch_configurations(self) -> None:
        self._launch_configurations = self._launch_configurations_stack.pop()

    def perform_substitution(self, substitution: Substitution) -> str:
        """The text of one substitution."""
        return substitution.perform(self)

    # Events ------------------------------------------------------------------------------------------------

    def would_handle_event(self, event: Event) -> bool:
        """True when some handler matches `event`."""
        return any(handler.matches(event) for handler in tuple(self._event_handlers))

    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Handle events with this handler too, before (append: after) those registered already."""
        if append:
            self._event_handlers.append(event_handler)
        else:
            self._event_handlers.appendleft(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        """Handle no more events with this handler."""
        self._event_handlers.remove(event_handler)

    def emit_event_sync(self, event: Event) -> None:
        """Put `event` into the queue (from the loop's thread)."""
        self._event_queue.put_nowait(event)

    async def emit_event(self, event: Event) -> None:
        """Put `event` into the queue."""
        await self._event_queue.put(event)
