#!/usr/bin/env bash
# Make checkpoints/TASK_rfs.safetensors anew, of a task whose base policy is in checkpoints/: PPO on top of it,
# evaluation on episodes that neither trained nor chose anything, publication.
#   scripts/make_rfs.sh TASK CONTROL_STEPS [FOLDER OF THE RUN, default runs/TASK_rfs] [PARAMETER:=VALUE ...]
# About five CPU-minutes per million control steps. The figures go into the checkpoint's header.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 2 ]; then
    echo "make_rfs: name a task and a number of control steps, such as: scripts/make_rfs.sh push_grasp 800000" >&2
    exit 1
fi
task="$1" budget="$2" run="${3:-runs/$1_rfs}"
shift $(($# < 3 ? $# : 3))
set +u
# shellcheck source=activate
. ./activate
set -u
if [ -e "$run" ]; then
    echo "make_rfs: $run exists already; remove it or name another folder" >&2
    exit 1
fi
mkdir -p "$run"
parameters=()
for parameter in "$@"; do parameters+=(-p "$parameter"); done

ros2 run rfs_learning ppo_trainer --ros-args \
    -p task:="$task" -p base_checkpoint:="checkpoints/${task}_base.safetensors" -p modulation:=both \
    -p budget:="$budget" -p noise_std:=0.8 -p residual_std:=0.15 -p evaluate_every:=100000 -p seed:=0 \
    -p run_dir:="$run/train" "${parameters[@]}"
checkpoint="$run/train/checkpoints/best.safetensors"

evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task "$task" --episodes 1024 --seed 3000 "$@"
}
evaluate --json "$run/steered.json"
evaluate --physics-dt 0.005 --json "$run/steered_fine.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/steered.json" "$run/steered_fine.json" --out "checkpoints/${task}_rfs.safetensors"
