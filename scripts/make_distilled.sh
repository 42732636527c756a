#!/usr/bin/env bash
# Make checkpoints/TASK_distilled.safetensors anew: a flow that has learned what the task's steered policy does, the
# base policy that is deployed and corrected in docs/offline.md.
#   scripts/make_distilled.sh TASK [FOLDER OF THE RUN, default runs/TASK_distilled]
# TASK is grasp or place. About five minutes on one core.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
task="${1:?which task: make_distilled.sh TASK [FOLDER]}"
run="${2:-runs/${task}_distilled}"
if [ -e "$run" ]; then
    echo "make_distilled: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

python -m rfs_learning.offline.rollouts --checkpoint "checkpoints/${task}_rfs.safetensors" --episodes 1000 \
    --spread 1.0 --seed 12345 --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:="${task}_distilled" -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p steps:=6000 -p seed:=0
checkpoint="$run/train/checkpoints/step_006000.safetensors"

evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --seed 1000 "$@"
}
evaluate --episodes 1024 --json "$run/training.json"
evaluate --episodes 256 --world gap --json "$run/gap_seen.json"
evaluate --episodes 256 --world gap --objects unseen --json "$run/gap_unseen.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/training.json" "$run/gap_seen.json" "$run/gap_unseen.json" \
    --out "checkpoints/${task}_distilled.safetensors"
