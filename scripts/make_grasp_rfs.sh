#!/usr/bin/env bash
# Make checkpoints/grasp_rfs.safetensors anew: PPO on top of checkpoints/grasp_base.safetensors, evaluation,
# publication.
#   scripts/make_grasp_rfs.sh [FOLDER OF THE RUN, default runs/grasp_rfs] [CONTROL STEPS, default 1000000]
# About seven minutes on one core. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
run="${1:-runs/grasp_rfs}"
budget="${2:-1000000}"
if [ -e "$run" ]; then
    echo "make_grasp_rfs: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

ros2 run rfs_learning ppo_trainer --ros-args \
    -p task:=grasp -p base_checkpoint:=checkpoints/grasp_base.safetensors -p modulation:=both \
    -p budget:="$budget" -p evaluate_every:=100000 -p seed:=0 -p run_dir:="$run/train"
checkpoint="$run/train/checkpoints/best.safetensors"

# Episodes of another seed than those that trained and chose it. "fine" is the same at half the physics step.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task grasp --episodes 1024 --seed 1000 "$@"
}
evaluate --json "$run/steered.json"
evaluate --physics-dt 0.005 --json "$run/steered_fine.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/steered.json" "$run/steered_fine.json" \
    --out checkpoints/grasp_rfs.safetensors
