#!/usr/bin/env bash
# Make checkpoints/TASK_rfs.safetensors anew: the benchmark's RFS cell, evaluation, publication.
#   scripts/make_rfs.sh TASK [CONTROL STEPS, default: the benchmark's] [FOLDER, default runs/TASK_rfs]
# Five to fifteen minutes on an idle core. Interrupted, the same command goes on. The figures go into the
# checkpoint's header. Power and pinch are steered over the hand. (grasp_rfs is made by make_grasp_rfs.sh, with
# more steps.)
set -euo pipefail
cd "$(dirname "$0")/.."
set +u
# shellcheck source=activate
. ./activate
set -u
task="${1:?name a task, such as stack}"
budget="${2:-}"
run="${3:-runs/${task}_rfs}"
case "$task" in
power | pinch) method=rfs_hand ;;
*) method=rfs ;;
esac

ros2 run rfs_learning benchmark --tasks "$task" --methods "$method" --seeds 0 --workers 1 --stages run \
    ${budget:+--budget "$budget"} --no-figures --out "$run"
checkpoint="$run/$task/$method/seed_0/train/checkpoints/best.safetensors"

# Episodes of another seed than those that trained and chose it. "fine" is the same at half the physics step.
evaluate() {
    ros2 run rfs_learning evaluate --checkpoint "$checkpoint" --task "$task" --episodes 1024 --seed 1000 "$@"
}
evaluate --json "$run/steered.json"
evaluate --physics-dt 0.005 --json "$run/steered_fine.json"

ros2 run rfs_learning publish --checkpoint "$checkpoint" \
    --results "$run/steered.json" "$run/steered_fine.json" --out "checkpoints/${task}_rfs.safetensors"
