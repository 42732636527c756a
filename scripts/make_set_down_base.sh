#!/usr/bin/env bash
# Make checkpoints/TASK_base.safetensors anew, of a task in which the object is set down: demonstrations, what
# tells before any training whether they serve, training, evaluation, publication.
#   scripts/make_set_down_base.sh stack|place|kit|pour|pick_place [FOLDER OF THE RUN, default runs/TASK_base]
# About five minutes on one core; pour takes ten. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
task="${1:-}"
case "$task" in
stack | place | kit | pour | pick_place) ;;
*)
    echo "make_set_down_base: name a task: stack, place, kit, pour or pick_place" >&2
    exit 1
    ;;
esac
set +u
# shellcheck source=activate
. ./activate
set -u
run="${2:-runs/${task}_base}"
if [ -e "$run" ]; then
    echo "make_set_down_base: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"

# Wrong on purpose, as rfs_sim.set_down_demonstrator, kit_demonstrator and pour_demonstrator say; failures are kept.
ros2 run rfs_sim collect_demonstrations --task "$task" --episodes 400 --seed 0 --out "$run/demos.npz"

ros2 run rfs_learning base_trainer --ros-args \
    -p name:="${task}_base" -p demonstrations:="$run/demos.npz" -p run_dir:="$run/train" \
    -p steps:=8000 -p seed:=0
checkpoint="$run/train/checkpoints/step_008000.safetensors"

case "$task" in
stack | place | pick_place) ros2 run rfs_sim separation --task "$task" --base "$checkpoint" ;;
*) python -m rfs_sim.scripted_success --task "$task" --episodes 256 ;;
esac

# Episodes of another seed than the demonstrations'. "fine" is the same at half the physics step.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task "$task" --episodes 1024 --seed 1000 "$@"
}
evaluate --a0 normal --json "$run/normal.json"
evaluate --a0 zero --json "$run/zero.json"
evaluate --a0 normal --physics-dt 0.005 --json "$run/normal_fine.json"
evaluate --a0 zero --physics-dt 0.005 --json "$run/zero_fine.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/normal.json" "$run/zero.json" "$run/normal_fine.json" "$run/zero_fine.json" \
    --out "checkpoints/${task}_base.safetensors"
