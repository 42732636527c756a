#!/usr/bin/env bash
# Set up the environment of Isaac Lab 3, apart from ROS:  scripts/setup_isaaclab.sh [cuda|cpu]
# (or: make setup-isaaclab)
#
#   cuda   isaaclab with all that it declares: 3.6 GB to download, 8 GB on disk
#   cpu    only what simulating and training without a GPU imports: 2 GB with a CPU build of torch, which pip takes
#          where PIP_EXTRA_INDEX_URL names an index that has one; with PyPI's torch, which brings CUDA, 6 GB
#
# Without an argument: cuda where nvidia-smi lists a GPU, else cpu.
#   RFS_ISAACLAB_PYTHON=/path/to/python3.12   another interpreter
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
STATE=$ROOT/.setup
VENV=$ROOT/.venv-isaaclab
PACKAGES="rfs_core rfs_learning rfs_sim"
mkdir -p "$STATE"

say() { printf '\033[1m[setup-isaaclab]\033[0m %s\n' "$*"; }
die() { printf '[setup-isaaclab] %s\n' "$*" >&2; exit 1; }
fits() { [ -x "$(command -v "$1")" ] && "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2> /dev/null; }

KIND=${1:-}
if [ -z "$KIND" ]; then
    if command -v nvidia-smi > /dev/null && nvidia-smi -L 2> /dev/null | grep -q GPU; then KIND=cuda; else KIND=cpu; fi
fi
case $KIND in cuda | cpu) ;; *) die "unknown kind '$KIND'; known: cuda cpu" ;; esac

exec 9> "$STATE/lock-isaaclab"
flock -w 3600 9 || die "another set-up of $VENV is still running (lock: $STATE/lock-isaaclab)"

# ---- Python 3.12 -------------------------------------------------------------------------------------
PYTHON=${RFS_ISAACLAB_PYTHON:-}
if [ -n "$PYTHON" ]; then
    fits "$PYTHON" || die "RFS_ISAACLAB_PYTHON=$PYTHON is not Python 3.12; Isaac Lab 3.0 declares >=3.12,<3.13"
else
    candidates=(python3.12 python3 "$HOME"/.pyenv/versions/3.12.*/bin/python)
    if command -v uv > /dev/null; then candidates+=("$(uv python find 3.12 2> /dev/null || true)"); fi
    for candidate in "${candidates[@]}"; do
        if [ -n "$candidate" ] && fits "$candidate"; then PYTHON=$candidate; break; fi
    done
    [ -n "$PYTHON" ] || die "no Python 3.12 found, which Isaac Lab 3.0 needs: install it with one of
    apt-get install python3.12 python3.12-venv     (Ubuntu 24.04)
    uv python install 3.12
    pyenv install 3.12
or name one: RFS_ISAACLAB_PYTHON=/path/to/python3.12"
fi
"$PYTHON" -c 'import ensurepip' 2> /dev/null \
    || die "$PYTHON cannot make environments: apt-get install python3.12-venv"
libc=$(getconf GNU_LIBC_VERSION 2> /dev/null | cut -d' ' -f2 || true)
if [ -n "$libc" ] && [ "$(printf '%s\n2.35\n' "$libc" | sort -V | head -n 1)" != 2.35 ]; then
    die "glibc is $libc; Isaac Lab's wheels need 2.35 or newer (Ubuntu 22.04, Debian 12)"
fi

# ---- Environment -------------------------------------------------------------------------------------
FILES="requirements/isaaclab-own.txt requirements/isaaclab-$KIND.txt constraints/isaaclab.txt"
# shellcheck disable=SC2086
want="$KIND $("$PYTHON" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)') $({
    cat $FILES scripts/setup_isaaclab.sh
    for package in $PACKAGES; do cat "src/$package/setup.py"; done
} | sha256sum | cut -d' ' -f1)"
if [ -x "$VENV/bin/python" ] && [ "$(cat "$STATE/isaaclab" 2> /dev/null)" = "$want" ]; then
    say "$VENV is up to date ($KIND)"
    exit 0
fi
pip_install() {
    # ROS in the environment, or the overlay of this workspace, must not reach into this one.
    env -u PYTHONPATH "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet \
        --no-warn-script-location "$@" 2> "$STATE/pip-isaaclab.log" \
        || { tail -n 20 "$STATE/pip-isaaclab.log" >&2; die "pip install $* failed; the whole log: $STATE/pip-isaaclab.log"; }
}
say "$VENV ($("$PYTHON" --version), $KIND); this takes some minutes"
# What another interpreter or the other kind made is made anew; what was interrupted goes on.
made=$(cat "$STATE/isaaclab-kind" 2> /dev/null || true)
if [ -n "$made" ] && [ "$made" != "$(cut -d' ' -f1-3 <<< "$want")" ]; then rm -rf "$VENV"; fi
rm -f "$STATE/isaaclab"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
cut -d' ' -f1-3 <<< "$want" > "$STATE/isaaclab-kind"
pip_install -c constraints/isaaclab.txt -r requirements/isaaclab-own.txt
if [ "$KIND" = cuda ]; then
    pip_install -c constraints/isaaclab.txt -r requirements/isaaclab-cuda.txt
else
    # What isaaclab declares and neither simulating nor training imports (open3d, pinocchio, a proprietary
    # client of Omniverse, ...) stays out.
    pip_install --no-deps -r requirements/isaaclab-cpu.txt
fi
own=()
for package in $PACKAGES; do own+=(-e "src/$package"); done
pip_install --no-deps --no-build-isolation --use-pep517 "${own[@]}"
printf '%s\n' "$want" > "$STATE/isaaclab"
say "done: $(du -sh "$VENV" | cut -f1). Next: .venv-isaaclab/bin/isaaclab list_envs | grep RFS"
