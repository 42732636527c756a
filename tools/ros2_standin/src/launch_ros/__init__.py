"""Stand-in for ROS 2's `launch_ros` where that is missing: nodes, lifecycle, namespaces, parameters.

Behaviour follows launch_ros 0.26 (Jazzy).
"""

from ros2cli_standin.defer import real_package

if real_package(__name__, __file__) is None:
    from . import actions, descriptions, event_handlers, events, substitutions

    __all__ = ["actions", "descriptions", "event_handlers", "events", "substitutions"]
