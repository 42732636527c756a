#!/usr/bin/env bash
# Make checkpoints/TASK_points.safetensors anew: checkpoints/TASK_rfs.safetensors distilled into a policy that sees a
# point cloud, evaluation, publication.
#   scripts/make_points.sh TASK [FOLDER OF THE RUN, default runs/TASK_points]
# TASK: grasp, place or stack. About twenty minutes on one core, half of it evaluation. Interrupted while it learns, the
# same command goes on. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
task="${1:?name a task: grasp, place or stack}"
run="${2:-runs/${task}_points}"
case "$task" in
    grasp)
        settings=(episodes:=460 steps:=1950 rounds:=1 round_episodes:=64 round_steps:=500)
        a0=normal
        ;;
    place)
        settings=(episodes:=420 steps:=850 rounds:=1 round_episodes:=64 round_steps:=300)
        a0=zero
        ;;
    stack)
        settings=(episodes:=560 steps:=1500 rounds:=2 round_episodes:=128 round_steps:=500)
        a0=zero
        ;;
    *)
        echo "make_points: task is '$task', known are grasp, place, stack" >&2
        exit 1
        ;;
esac
mkdir -p "$run"

given=()
for setting in "${settings[@]}"; do
    given+=(-p "$setting")
done
ros2 run rfs_learning distill_trainer --ros-args -p teacher:="checkpoints/${task}_rfs.safetensors" \
    -p name:="${task}_points" -p run_dir:="$run/train" -p resume:=true "${given[@]}"
checkpoint="$(find "$run/train/checkpoints" -name '*.safetensors' | sort | tail -n 1)"

# "error": calibration off by 1 cm and 1 degree, 3 mm of noise on the points.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --episodes 1024 --a0 "$a0" "$@"
}
evaluate --json "$run/table.json"
evaluate --camera-position-error 0.01 --camera-rotation-error 1 --point-noise 0.003 --json "$run/error.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" --results "$run/table.json" "$run/error.json" \
    --out "checkpoints/${task}_points.safetensors"
