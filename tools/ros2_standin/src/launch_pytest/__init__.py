"""Stand-in for ROS 2's `launch_pytest` where that is missing: tests on running launch descriptions.

Usage, as with the real one:

    @launch_pytest.fixture
    def bringup():
        return LaunchDescription([..., launch_pytest.actions.ReadyToTest()])

    @pytest.mark.launch(fixture=bringup)
    def test_something(launch_context): ...

A test may be a function (it runs in a thread while the launch goes on), a coroutine, or a generator of either
kind: what follows its `yield` runs after the launch has been shut down.
"""

from ros2cli_standin.defer import real_package

if real_package(__name__, __file__) is None:
    from . import actions, tools
    from .fixture import fixture

    __all__ = ["actions", "fixture", "tools"]
