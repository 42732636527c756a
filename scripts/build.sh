#!/usr/bin/env bash
# Build the colcon workspace: scripts/build.sh [arguments of colcon build]
set -euo pipefail
cd "$(dirname "$0")/.."
# colcon's own set-up scripts read variables that are not set.
set +u; . ./activate; set -u
# colcon reads these through the environment of each package; no desktop notifications, no HTML logs kept.
export COLCON_EXTENSION_BLOCKLIST="colcon_core.event_handler.desktop_notification"
exec "$RFS_ROOT/.venv/bin/python" -m colcon build --symlink-install --merge-install \
    --base-paths src --event-handlers console_direct- console_cohesion- "$@"
