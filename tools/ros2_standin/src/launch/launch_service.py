"""Runs launch descriptions: the event loop, the signals, the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import traceback
from collections.abc import Coroutine, Iterable, Iterator

from . import logging as launch_logging
from .child_process import end_all
from .event import Event
from .event_handlers import OnIncludeLaunchDescription, OnShutdown
from .events import IncludeLaunchDescription, Shutdown
from .launch_context import LaunchContext
from .launch_description import LaunchDescription
from .launch_description_entity import LaunchDescriptionEntity
from .utilities import visit_all_entities_and_collect_futures

_STOP_SIGNALS = {
    signal.SIGINT: "ctrl-c (SIGINT)",
    signal.SIGTERM: "SIGTERM",
    signal.SIGQUIT: "ctrl-\\ (SIGQUIT)",
    signal.SIGHUP: "SIGHUP",
}


class LaunchService:
    """Visits the included descriptions, handles events, and ends when nothing goes on any more.

    SIGINT, SIGTERM, SIGQUIT and SIGHUP shut it down in order; each of them reaches all children. Nothing that
    was started remains when `run` returns.
    """

    def __init__(
        self, *, argv: Iterable[str] | None = None, noninteractive: bool = False, debug: bool = False
    ) -> None:
        launch_logging.launch_config.level = 10 if debug else 20
        self._logger = launch_logging.get_logger("launch")
        self._debug = debug
        self._context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self._context.register_event_handler(OnIncludeLaunchDescription())
        self._context.register_event_handler(OnShutdown(on_shutdown=self._on_shutdown_event))
        self._activities: list[tuple[LaunchDescriptionEntity, asyncio.Future]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_lock = threading.RLock()
        self._task: asyncio.Task | None = None
        self._shutting_down = False

    @property
    def context(self) -> LaunchContext:
        """The context of this launch."""
        return self._context

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it runs in; None when it does not run."""
        return self._loop

    @property
    def task(self) -> asyncio.Task | None:
        """The task it runs in."""
        return self._task

    def emit_event(self, event: Event) -> None:
        """Put an event into the queue; thread-safe. Before `run` it waits there."""
        with self._loop_lock:
            loop = self._loop
            if loop is None or threading.current_thread() is threading.main_thread():
                self._context.emit_event_sync(event)
                return
        asyncio.run_coroutine_threadsafe(self._context.emit_event(event), loop).result()

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Visit a description, as soon as the service runs."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def shutdown(self, force_sync: bool = False) -> Coroutine | None:
        """Begin to end, if it runs; thread-safe. Within the loop, unless force_sync, returns an awaitable."""
        with self._loop_lock:
            if self._loop is None:
                return None
            event = self._begin_shutdown("LaunchService.shutdown() called", False)
            in_loop = threading.current_thread() is threading.main_thread()
            if event is None:
                return None
            if force_sync or not in_loop:
                self.emit_event(event)
                return None
            return self._context.emit_event(event)

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run to the end in an event loop of its own (main thread only); 0, or 1 after an error."""
        loop = asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(self.run_async(shutdown_when_idle=shutdown_when_idle))
        finally:
            asyncio.set_event_loop(None)
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run to the end in the current loop (main thread only); 0, or 1 after an error."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("LaunchService can only be run in the main thread.")
        with self._prepared():
            launch_logging.log_launch_config(logger=self._logger)
            return await self._process_events(shutdown_when_idle)

    async def _process_events(self, shutdown_when_idle: bool) -> int:
        return_code = 0
        next_event: asyncio.Task | None = None
        while True:
            try:
                idle = self._is_idle()
                if idle and self._shutting_down:
                    break
                if idle and shutdown_when_idle:
                    self._shut_down("idle", due_to_sigint=False)
                    continue
                queue = self._context._event_queue
                if not queue.empty():
                    self._process(queue.get_nowait())
                    await asyncio.sleep(0)
                    continue
                next_event = next_event or asyncio.ensure_future(queue.get())
                futures = [future for _, future in self._activities] + self._context._completion_futures
                done, _ = await asyncio.wait([next_event, *futures], return_when=asyncio.FIRST_COMPLETED)
                if next_event in done:
                    event, next_event = next_event.result(), None
                    self._process(event)
            except asyncio.CancelledError:
                self._logger.error("run task was canceled")
                return_code = 1
                break
            except Exception as error:  # noqa: BLE001
                # Whatever a launch file, an action or a handler raises ends the launch, in order.
                self._logger.debug(traceback.format_exc())
                message = f"Caught exception in launch (see debug for traceback): {error}"
                self._logger.error(message)
                self._shut_down(message, due_to_sigint=False)
                return_code = 1
        if next_event is not None:
            next_event.cancel()
        return return_code

    def _process(self, event: Event) -> None:
        for handler in tuple(self._context._event_handlers):
            if not handler.matches(event):
                continue
            self._context._push_locals()
            try:
                self._visit(handler.handle(event, self._context))
            finally:
                self._context._pop_locals()

    def _visit(self, entities) -> None:
        if entities is None:
            return
        if isinstance(entities, LaunchDescriptionEntity):
            entities = (entities,)
        for entity in entities:
            if entity is None:
                continue
            if not isinstance(entity, LaunchDescriptionEntity):
                raise RuntimeError(f"expected a LaunchDescriptionEntity from event_handler, got '{entity}'")
            self._activities += visit_all_entities_and_collect_futures(entity, self._context)

    def _is_idle(self) -> bool:
        self._activities = [pair for pair in self._activities if not pair[1].done()]
        futures = [future for future in self._context._completion_futures if not future.done()]
        failed = [
            f for f in self._context._completion_futures if f.done() and not f.cancelled() and f.exception()
        ]
        self._context._completion_futures = futures
        for future in failed:
            raise future.exception()
        return not self._activities and not futures and self._context._event_queue.empty()

    # Shutdown --------------------------------------------------------------------------------------------

    def _on_shutdown_event(self, event: Shutdown, context: LaunchContext) -> None:
        self._shutting_down = True
        self._context._set_is_shutdown(True)

    def _begin_shutdown(self, reason: str, due_to_sigint: bool) -> Shutdown | None:
        """The event to emit, None when the shutdown has begun already."""
        begun, self._shutting_down = self._shutting_down, True
        self._context._set_is_shutdown(True)
        return None if begun else Shutdown(reason=reason, due_to_sigint=due_to_sigint)

    def _shut_down(self, reason: str, *, due_to_sigint: bool) -> None:
        event = self._begin_shutdown(reason, due_to_sigint)
        if event is not None:
            self._context.emit_event_sync(event)

    def _on_signal(self, signal_number: int) -> None:
        name = _STOP_SIGNALS[signal.Signals(signal_number)]
        if self._shutting_down:
            self._logger.warning("user interrupted with %s again, ignoring...", name)
            return
        self._logger.warning("user interrupted with %s", name)
        self._shut_down(name, due_to_sigint=True)

    @contextlib.contextmanager
    def _prepared(self) -> Iterator[None]:
        with self._loop_lock:
            if self._loop is not None:
                raise RuntimeError("LaunchService cannot be run multiple times concurrently.")
            self._loop = asyncio.get_running_loop()
            self._loop.set_debug(self._debug)
            self._context._set_asyncio_loop(self._loop)
            queued: asyncio.Queue[Event] = asyncio.Queue()
            while not self._context._event_queue.empty():
                queued.put_nowait(self._context._event_queue.get_nowait())
            self._context._event_queue = queued
        self._task = asyncio.current_task()
        previous = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
        for number in _STOP_SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            # Signals are still handled (and ignored, the shutdown has begun) until nothing is left.
            for pid in end_all(self._context):
                self._logger.warning("stopped process [%d], left behind by the processes launched", pid)
            self._context._remove_temporary_files()
            for number, handler in previous.items():
                self._loop.remove_signal_handler(number)
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
            with self._loop_lock:
                self._context._set_asyncio_loop(None)
                self._loop = None
                self._shutting_down = False
