"""Several transitions of several lifecycle nodes, one after the other."""

from __future__ import annotations

from collections.abc import Iterable

from launch.action import Action
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handler import EventHandler
from launch.launch_context import LaunchContext
from launch.launch_description_entity import LaunchDescriptionEntity
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..events.lifecycle import ChangeState, StateTransition
from ..events.matchers import matches_node_name
from .lifecycle_node import _STEPS


class LifecycleTransition(Action):
    """Make each node do the transitions in order; the next is asked for when the one before has succeeded."""

    def __init__(
        self,
        *,
        lifecycle_node_names: Iterable[SomeSubstitutionsType],
        transition_ids: Iterable[int | SomeSubstitutionsType],
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self._names = [normalize_to_list_of_substitutions(name) for name in lifecycle_node_names]
        self._transitions = [
            normalize_to_list_of_substitutions(str(number) if isinstance(number, int) else number)
            for number in transition_ids
        ]
        if not self._transitions:
            raise ValueError("No transition_ids provided.")
        if not self._names:
            raise ValueError("No lifecycle_node_names provided.")

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        numbers = [int(perform_substitutions(context, number)) for number in self._transitions]
        actions: list[LaunchDescriptionEntity] = []
        for name_subs in self._names:
            is_node = matches_node_name(perform_substitutions(context, name_subs))
            asks = [
                EmitEvent(event=ChangeState(lifecycle_node_matcher=is_node, transition_id=number))
                for number in numbers
            ]
            for number, following in zip(numbers, asks[1:], strict=False):
                _, _, between, goal = _STEPS[number]

                def succeeded(event, is_node=is_node, between=between, goal=goal) -> bool:
                    return (
                        isinstance(event, StateTransition)
                        and is_node(event.action)
                        and (event.start_state, event.goal_state) == (between, goal)
                    )

                handler = EventHandler(matcher=succeeded, entities=[following], handle_once=True)
                actions.append(RegisterEventHandler(handler))
            actions.append(asks[0])
        return actions
