#!/usr/bin/env bash
# Make checkpoints/grasp_base.safetensors anew: demonstrations, training, evaluation, publication.
#   scripts/make_grasp_base.sh [FOLDER OF THE RUN, default runs/grasp_base]
# About five minutes on one core. The figures go into the checkpoint's header; docs/checkpoints.md tells them.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
run="${1:-runs/grasp_base}"
if [ -e "$run" ]; then
    echo "make_grasp_base: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

# Imperfect on purpose, as rfs_sim.demonstrator.DemonstratorConfig says; failures are kept.
ros2 run rfs_sim collect_demonstrations --task grasp --episodes 400 --seed 0 --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:=grasp_base -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p steps:=8000 -p seed:=0
checkpoint="$run/train/checkpoints/step_008000.safetensors"

# Episodes of another seed than the demonstrations'. "fine" is the same at half the physics step.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task grasp --episodes 1024 --seed 1000 "$@"
}
evaluate --a0 normal --json "$run/normal.json"
evaluate --a0 zero --json "$run/zero.json"
evaluate --a0 normal --physics-dt 0.005 --json "$run/normal_fine.json"
evaluate --a0 zero --physics-dt 0.005 --json "$run/zero_fine.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/normal.json" "$run/zero.json" "$run/normal_fine.json" "$run/zero_fine.json" \
    --out checkpoints/grasp_base.safetensors
