"""Helpers that launch files and actions use on substitutions and entities."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..launch_description_entity import LaunchDescriptionEntity
from ..some_entities_type import SomeEntitiesType
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution

if TYPE_CHECKING:
    import asyncio

    from ..launch_context import LaunchContext


def is_a(obj: Any, entity_type: type) -> bool:
    """True when `obj` is an instance of the class."""
    return isinstance(obj, entity_type)


def is_a_subclass(obj: Any, entity_type: type) -> bool:
    """True when `obj` is an instance of the class, or a subclass of it."""
    return isinstance(obj, entity_type) or (inspect.isclass(obj) and issubclass(obj, entity_type))


def ensure_argument_type(argument: Any, types: Any, argument_name: str, caller: str | None = None) -> None:
    """Raise TypeError unless the argument is of one of the types."""
    allowed = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(argument, allowed):
        names = ", ".join(getattr(t, "__name__", str(t)) for t in allowed)
        where = f" of {caller}" if caller else ""
        raise TypeError(f"'{argument_name}'{where} must be one of [{names}], got {type(argument)}")


def normalize_to_list_of_substitutions(subs: SomeSubstitutionsType) -> list[Substitution]:
    """One text, one substitution or a flat sequence of both, as a list of substitutions."""
    from ..substitutions import TextSubstitution

    def normalize(item: Any) -> Substitution:
        if isinstance(item, Substitution):
            return item
        if isinstance(item, str):
            return TextSubstitution(text=item)
        raise TypeError(f"a text or a launch.Substitution was expected, got {item!r} of type '{type(item)}'")

    if isinstance(subs, (str, Substitution)):
        return [normalize(subs)]
    if not isinstance(subs, Iterable):
        return [normalize(subs)]
    return [normalize(item) for item in subs]


def normalize_to_list_of_entities(entities: Iterable[SomeEntitiesType]) -> list[LaunchDescriptionEntity]:
    """Entities and sequences of entities, as one flat list."""
    flat: list[LaunchDescriptionEntity] = []
    for entity in entities:
        flat.extend([entity] if isinstance(entity, LaunchDescriptionEntity) else entity)
    return flat


def perform_substitutions(context: LaunchContext, subs: Iterable[Substitution]) -> str:
    """The substitutions' texts, concatenated."""
    return "".join(context.perform_substitution(sub) for sub in subs)


def visit_all_entities_and_collect_futures(
    entity: LaunchDescriptionEntity, context: LaunchContext
) -> list[tuple[LaunchDescriptionEntity, asyncio.Future]]:
    """Visit an entity and, depth first, everything it yields."""
    sub_entities = entity.visit(context)
    future = entity.get_asyncio_future()
    pairs = [] if future is None else [(entity, future)]
    for sub_entity in sub_entities or ():
        pairs += visit_all_entities_and_collect_futures(sub_entity, context)
    return pairs
