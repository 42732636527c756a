#!/usr/bin/env bash
# Make checkpoints/grasp_distilled.safetensors anew: a flow that has learned what the steered grasp policy does, the
# base policy that is deployed and corrected in docs/offline.md.
#   scripts/make_grasp_distilled.sh [FOLDER OF THE RUN, default runs/grasp_distilled]
# About five minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
run="${1:-runs/grasp_distilled}"
if [ -e "$run" ]; then
    echo "make_grasp_distilled: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

python -m rfs_learning.offline.rollouts --checkpoint checkpoints/grasp_rfs.safetensors --episodes 1000 \
    --spread 1.0 --seed 12345 --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:=grasp_distilled -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p steps:=6000 -p seed:=0
checkpoint="$run/train/checkpoints/step_006000.safetensors"

evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --episodes 256 --seed 1000 "$@"
}
evaluate --json "$run/training.json"
evaluate --world gap --json "$run/gap_seen.json"
evaluate --world gap --objects unseen --json "$run/gap_unseen.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/training.json" "$run/gap_seen.json" "$run/gap_unseen.json" \
    --out checkpoints/grasp_distilled.safetensors
