#!/usr/bin/env bash
# Make checkpoints/grasp_points.safetensors anew: checkpoints/grasp_rfs.safetensors distilled into a policy that sees a
# point cloud, evaluation, publication.
#   scripts/make_grasp_points.sh [FOLDER OF THE RUN, default runs/grasp_points]
# About twenty minutes on one core, half of it evaluation. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
run="${1:-runs/grasp_points}"
if [ -e "$run" ]; then
    echo "make_grasp_points: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

ros2 run rfs_learning distill_trainer --ros-args \
    -p teacher:=checkpoints/grasp_rfs.safetensors -p name:=grasp_points -p run_dir:="$run/train" \
    -p episodes:=460 -p steps:=1950 -p rounds:=1 -p round_episodes:=64 -p round_steps:=500
checkpoint="$(find "$run/train/checkpoints" -name '*.safetensors' | sort | tail -n 1)"

# "error": calibration off by 1 cm and 1 degree, 3 mm of noise on the points.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --episodes 1024 "$@"
}
evaluate --json "$run/table.json"
evaluate --camera-position-error 0.01 --camera-rotation-error 1 --point-noise 0.003 --json "$run/error.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" --results "$run/table.json" "$run/error.json" \
    --out checkpoints/grasp_points.safetensors
