#!/usr/bin/env bash
# Set the project up from nothing, or do only what is missing:  scripts/setup.sh  (or: make setup)
#
#   EXTRAS="drivers perception"   vendor packages as well (drivers, perception, sam2, mjwarp)
#   RFS_PYTHON=python3.12         another interpreter (3.11 or 3.12)
#
# 1. system packages (apt; sudo when not root)   2. .venv from pinned constraints
# 3. ROS 2 Jazzy from wheels where no ROS 2 is sourced   4. colcon build
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
STATE=$ROOT/.setup
mkdir -p "$STATE"

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] %s\n' "$*" >&2; exit 1; }
fingerprint() { cat "$@" 2>/dev/null | sha256sum | cut -d' ' -f1; }
is_done() { [ -f "$STATE/$1" ] && [ "$(cat "$STATE/$1")" = "$2" ]; }
mark_done() { printf '%s\n' "$2" > "$STATE/$1"; }

# What colcon installs cannot be started from such a path: its first line names the interpreter.
case $ROOT in *[[:space:]]*) die "the path '$ROOT' has a space in it: move the project to one without" ;; esac

# One set-up at a time.
exec 9> "$STATE/lock"
flock -w 1800 9 || die "another set-up of $ROOT is still running (lock: $STATE/lock)"

# ---- Which ROS 2 -------------------------------------------------------------------------------------
if [ -n "${AMENT_PREFIX_PATH:-}" ] && [ -n "${ROS_DISTRO:-}" ] && [ "${VIRTUAL_ENV:-}" != "$ROOT/.venv" ]; then
    MODE=distribution
    [ "$ROS_DISTRO" = jazzy ] || say "note: ROS 2 '$ROS_DISTRO' is sourced; the project is developed on jazzy."
elif [ -n "${VIRTUAL_ENV:-}" ] && [ "$VIRTUAL_ENV" = "$ROOT/.venv" ] && [ -f "$STATE/mode" ]; then
    MODE=$(cat "$STATE/mode")  # already inside the project's own environment
else
    MODE=wheels
fi

# ---- 1. System packages ------------------------------------------------------------------------------
PACKAGES="build-essential cmake git libosmesa6"
if [ -z "${RFS_PYTHON:-}" ]; then
    for candidate in python3 python3.11 python3.12; do
        if command -v "$candidate" > /dev/null \
            && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'; then
            RFS_PYTHON=$candidate
            break
        fi
    done
fi
RFS_PYTHON=${RFS_PYTHON:-python3}
system_python() { case "$(readlink -f "$(command -v "$RFS_PYTHON" || echo /usr/bin/python3)")" in /usr/bin/*) true ;; *) false ;; esac; }
if system_python; then PACKAGES="$PACKAGES python3 python3-venv python3-dev"; fi
for extra in ${EXTRAS:-}; do
    case $extra in
        drivers) PACKAGES="$PACKAGES libhidapi-hidraw0" ;;
        perception) PACKAGES="$PACKAGES libusb-1.0-0 libudev1 libgl1 libegl1" ;;
        sam2 | mjwarp) ;;
        isaaclab) die "EXTRAS=isaaclab: Isaac Lab has an environment of its own: make setup-isaaclab" ;;
        *) die "EXTRAS: unknown extra '$extra'; known: drivers perception sam2 mjwarp" ;;
    esac
done
if command -v apt-get > /dev/null; then
    missing=""
    for package in $PACKAGES; do
        dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        SUDO=""
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo > /dev/null || die "system packages are missing and there is no sudo. As root: apt-get install$missing"
            SUDO=sudo
        fi
        say "system packages:$missing"
        $SUDO apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive $SUDO ${SUDO:+--preserve-env=DEBIAN_FRONTEND} apt-get install -y -qq --no-install-recommends $missing > "$STATE/apt.log" 2>&1 \
            || { tail -n 20 "$STATE/apt.log" >&2; die "apt-get install failed; the whole log: $STATE/apt.log"; }
    fi
else
    say "no apt-get here: make sure of these yourself: $PACKAGES"
fi
command -v "$RFS_PYTHON" > /dev/null || die "no Python found: install Python 3.11 or 3.12, or set RFS_PYTHON"
"$RFS_PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
    || die "$RFS_PYTHON is $("$RFS_PYTHON" --version 2>&1); the project needs Python 3.11 or 3.12 (set RFS_PYTHON)"

# ---- 2. and 3. Python environment --------------------------------------------------------------------
REQUIREMENTS="requirements/base.txt requirements/build.txt requirements/test.txt"
CONSTRAINTS="constraints/python.txt constraints/numpy-$MODE.txt"
if [ "$MODE" = wheels ]; then
    REQUIREMENTS="$REQUIREMENTS requirements/ros2-wheels.txt"
    CONSTRAINTS="$CONSTRAINTS constraints/ros2-jazzy-wheels.txt"
fi
PYTHON_VERSION=$("$RFS_PYTHON" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)')
# shellcheck disable=SC2086
want="$MODE $PYTHON_VERSION $(fingerprint $REQUIREMENTS $CONSTRAINTS scripts/setup.sh)"
pip_install() {
    local arguments=()
    for file in $CONSTRAINTS; do arguments+=(-c "$file"); done
    "$ROOT/.venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-warn-script-location "${arguments[@]}" "$@" \
        2> "$STATE/pip.log" || { tail -n 20 "$STATE/pip.log" >&2; die "pip install $* failed; the whole log: $STATE/pip.log"; }
}
if ! is_done venv "$want" || [ ! -x .venv/bin/python ]; then
    say "Python environment .venv ($("$RFS_PYTHON" --version), ROS 2: $MODE); this takes a few minutes"
    rm -f "$STATE/venv" "$STATE/build"
    # What another interpreter or another ROS 2 made cannot be mended; it is made anew.
    if [ -x .venv/bin/python ] && [ "$(cat "$STATE/kind" 2> /dev/null)" = "$MODE $PYTHON_VERSION" ]; then :; else rm -rf .venv build install; fi
    [ -x .venv/bin/python ] || "$RFS_PYTHON" -m venv .venv
    mark_done kind "$MODE $PYTHON_VERSION"
    requirement_arguments=()
    for file in $REQUIREMENTS; do requirement_arguments+=(-r "$file"); done
    pip_install "${requirement_arguments[@]}"
    if [ "$MODE" = wheels ]; then
        # The wheels' CMake files name the include folders of the machine they were built on.
        numpy_include=$(.venv/bin/python -c 'import numpy; print(numpy.get_include())')
        python_include=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
        [ -f "$python_include/Python.h" ] || die "Python headers are missing ($python_include/Python.h): install the python3-dev of $RFS_PYTHON"
        { grep -rlE '/opt/python/cp31' .venv/share --include='*.cmake' || true; } | while read -r file; do
            sed -i -E \
                -e "s#/opt/python/cp31[0-9]+-cp31[0-9]+/lib/python3\.[0-9]+/site-packages/numpy/_core/include#$numpy_include#g" \
                -e "s#/opt/python/cp31[0-9]+-cp31[0-9]+/include/python3\.[0-9]+#$python_include#g" "$file"
        done
    fi
    mark_done mode "$MODE"
    mark_done venv "$want"
fi
for extra in ${EXTRAS:-}; do
    extra_want="$want $(fingerprint "requirements/extra-$extra.txt")"
    if ! is_done "extra-$extra" "$extra_want"; then
        say "extra: $extra"
        pip_install -r "requirements/extra-$extra.txt"
        mark_done "extra-$extra" "$extra_want"
    fi
done

# The stand-in for `launch` and the `ros2` command, only where ROS 2's own are missing.
if [ "$MODE" = wheels ]; then
    standin_want=$(find tools/ros2_standin -name '*.py' -o -name pyproject.toml | LC_ALL=C sort | xargs cat | sha256sum | cut -d' ' -f1)
    if ! is_done standin "$standin_want" || [ ! -d .standin ]; then
        say "launch and the ros2 command (stand-in)"
        rm -rf .standin
        pip_install --no-deps --no-build-isolation --target .standin ./tools/ros2_standin
        rm -rf tools/ros2_standin/build tools/ros2_standin/src/*.egg-info
        mark_done standin "$standin_want"
    fi
else
    rm -rf .standin
fi

# ---- 4. Workspace ------------------------------------------------------------------------------------
# Python modules are linked, not copied: only what CMake, setuptools and the installer read counts here.
build_want="$want $({
    find src \( -name package.xml -o -name 'setup.*' -o -name CMakeLists.txt -o -name '*.msg' -o -name '*.srv' \) -type f -print0 \
        | LC_ALL=C sort -z | xargs -0 cat
    find launch config checkpoints -type f | LC_ALL=C sort
    cat colcon.meta scripts/build.sh
} | sha256sum | cut -d' ' -f1)"
if ! is_done build "$build_want" || [ ! -f install/local_setup.sh ]; then
    say "colcon build"
    rm -f "$STATE/build"
    scripts/build.sh > "$STATE/build.log" 2>&1 \
        || { tail -n 40 "$STATE/build.log" >&2; die "colcon build failed; the whole log: $STATE/build.log"; }
    mark_done build "$build_want"
fi
