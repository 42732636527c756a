"""The stand-in never takes the place of the real packages.

Each package of the stand-in calls `real_package` first thing when it is imported. Where ROS 2's own package
is also on the path, however late, that one is imported in its place.
"""

import importlib
import importlib.machinery
import os
import sys
from types import ModuleType


def real_package(name: str, file: str) -> ModuleType | None:
    """Import the package `name` that lies elsewhere than `file`, the stand-in's own __init__.py.

    Returns None when there is no other. The returned module has taken the stand-in's place in sys.modules.
    """
    own = os.path.dirname(os.path.dirname(os.path.realpath(file)))
    elsewhere = [entry for entry in sys.path if os.path.realpath(entry or os.getcwd()) != own]
    spec = importlib.machinery.PathFinder.find_spec(name, elsewhere)
    if spec is None or spec.origin is None:  # a folder of that name without __init__.py is no package
        return None
    # From here on the others (launch_ros, the ros2 command) are looked for elsewhere first as well.
    sys.path[:] = elsewhere + [entry for entry in sys.path if entry not in elsewhere]
    standin = sys.modules.pop(name, None)
    try:
        return importlib.import_module(name)
    except ImportError:
        if standin is not None:
            sys.modules[name] = standin
        raise
