"""Stand-in for ROS 2's `launch` where that is missing: the part of its API that bringups use.

Names, module paths and behaviour follow launch 3.4 (Jazzy), so that a launch file that runs here runs under
the real one unchanged. What is left out (XML and YAML files, composable nodes, terminals for children) is
refused or absent, never done differently.
"""

from ros2cli_standin.defer import real_package

if real_package(__name__, __file__) is None:
    from . import actions, conditions, descriptions, event_handlers, events, logging, substitutions
    from .action import Action
    from .condition import Condition
    from .event import Event
    from .event_handler import BaseEventHandler, EventHandler
    from .launch_context import LaunchContext
    from .launch_description import LaunchDescription
    from .launch_description_entity import LaunchDescriptionEntity
    from .launch_description_source import LaunchDescriptionSource
    from .launch_introspector import LaunchIntrospector
    from .launch_service import LaunchService
    from .some_entities_type import SomeEntitiesType
    from .some_substitutions_type import SomeSubstitutionsType, SomeSubstitutionsType_types_tuple
    from .substitution import Substitution

    __all__ = [
        "Action",
        "BaseEventHandler",
        "Condition",
        "Event",
        "EventHandler",
        "LaunchContext",
        "LaunchDescription",
        "LaunchDescriptionEntity",
        "LaunchDescriptionSource",
        "LaunchIntrospector",
        "LaunchService",
        "SomeEntitiesType",
        "SomeSubstitutionsType",
        "SomeSubstitutionsType_types_tuple",
        "Substitution",
        "actions",
        "conditions",
        "descriptions",
        "event_handlers",
        "events",
        "logging",
        "substitutions",
    ]
