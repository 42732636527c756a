#!/usr/bin/env bash
# Make checkpoints/push_grasp_base.safetensors anew: demonstrations, training, what tells whether they serve,
# evaluation, publication.
#   scripts/make_push_grasp_base.sh [FOLDER OF THE RUN, default runs/push_grasp_base]
# About six minutes on one core. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
run="${1:-runs/push_grasp_base}"
if [ -e "$run" ]; then
    echo "make_push_grasp_base: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

# Wrong on purpose, as rfs_sim.push_grasp_demonstrator says; failures are kept. At the physics step that it is
# measured at: how the box slips depends on it.
ros2 run rfs_sim collect_demonstrations --task push_grasp --episodes 400 --seed 0 --physics-dt 0.005 \
    --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:=push_grasp_base -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p steps:=8000 -p seed:=0
checkpoint="$run/train/checkpoints/step_008000.safetensors"

ros2 run rfs_sim separation --task push_grasp --base "$checkpoint"

# Episodes of another seed than the demonstrations'. "coarse" is the same at twice the physics step.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task push_grasp --episodes 1024 --seed 1000 \
        --physics-dt 0.005 "$@"
}
evaluate --a0 normal --json "$run/normal.json"
evaluate --a0 zero --json "$run/zero.json"
evaluate --a0 normal --physics-dt 0.01 --json "$run/normal_coarse.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/normal.json" "$run/zero.json" "$run/normal_coarse.json" \
    --out checkpoints/push_grasp_base.safetensors
