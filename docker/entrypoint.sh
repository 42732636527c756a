#!/usr/bin/env bash
# Run a command in the project's environment on top of the sourced distribution.
set -eo pipefail
# shellcheck source=/dev/null
. "/opt/ros/${ROS_DISTRO:-jazzy}/setup.bash"
# shellcheck source=/dev/null
. /home/rfs/rfs/activate
exec "$@"
