#!/usr/bin/env bash
# Make checkpoints/power_base.safetensors or pinch_base.safetensors anew: demonstrations, a flow over the fingers
# (the arm is left to whoever learns it directly, see docs/tasks.md), publication.
#   scripts/make_grasp_type_base.sh power|pinch [FOLDER OF THE RUN, default runs/TASK_base]
# About four minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
task="${1:-}"
case "$task" in
power | pinch) ;;
*)
    echo "make_grasp_type_base: name a task: power or pinch" >&2
    exit 1
    ;;
esac
set +u
# shellcheck source=activate
. ./activate
set -u
run="${2:-runs/${task}_base}"
if [ -e "$run" ]; then
    echo "make_grasp_type_base: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

ros2 run rfs_sim collect_demonstrations --task "$task" --episodes 400 --seed 0 --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:="${task}_base" -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p over:=hand -p steps:=8000 -p seed:=0
checkpoint="$run/train/checkpoints/step_008000.safetensors"

# It moves the fingers only: alone it succeeds never, and is measured as what it is.
ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task "$task" --episodes 1024 --seed 1000 \
    --json "$run/normal.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" --results "$run/normal.json" \
    --out "checkpoints/${task}_base.safetensors"
