#!/bin/bash
# Trains a recipe on N nodes of a SLURM cluster, all of their GPUs in step, and goes on when it is interrupted.
#
#     DATA_DIR=/data WORK_DIR=/runs/paper sbatch --nodes=4 training/slurm.sh training/configs/paper_imagenet.py
#
# To be submitted from the repository's root; what follows the recipe goes to training.train. DATA_DIR and WORK_DIR must
# be the same folders on all nodes. The recipe's batch is shared by all GPUs, and must be a multiple of their number.
# On GPUs add, say, --gpus-per-node=8. The processes find each other by what srun tells each of them.

#SBATCH --job-name=googlenet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120

config=${1:?expected a recipe, such as training/configs/paper_imagenet.py}
shift
: "${DATA_DIR:?expected DATA_DIR, the folder of the data}" "${WORK_DIR:?expected WORK_DIR, the folder of the run}"

# Shortly before the time limit the job takes its place in the queue again; the run goes on from its last checkpoint.
requeue() { scontrol requeue "$SLURM_JOB_ID" && exit 0; exit 1; }
trap requeue USR1

# A port of its own, should another job have left a process behind. Below 32768, where systems choose ports themselves.
port=$((15000 + SLURM_JOB_ID % 15000))

# What a task itself ends with, for srun tells the highest code of all, and the others die by a signal.
mkdir -p "$WORK_DIR"
export FAILED="$WORK_DIR/failed-$SLURM_JOB_ID"
rm -f "$FAILED"

# Tasks are numbered node by node (block). Where one ends badly the others must end too, to begin together again.
# In the background, for a trap waits for what is in the foreground.
srun --ntasks-per-node=1 --distribution=block --kill-on-bad-exit=1 --cpu-bind=none \
    bash -c '"$@"; code=$?; ((code == 1 || code == 2)) && echo "task $SLURM_PROCID: $code" >> "$FAILED"; exit $code' task \
    "${PYTHON:-.venv/bin/python}" -m training.train "$config" --port "$port" \
    --data-dir "$DATA_DIR" --work-dir "$WORK_DIR" "$@" &
wait $!
status=$?

# 75: a task has lost the others. Above 128: a task was killed. Both may pass; ten times without a new
# checkpoint are no accident. A task that ended with 1 or 2 would do so again.
if [[ -e "$FAILED" ]]; then exit 1; fi
if ((status == 75 || status > 128)); then
    # Those since the newest checkpoint; what the time limit interrupts is not counted.
    newest=$(ls "$WORK_DIR/checkpoints" 2>/dev/null | tail -n 1)
    { read -r before count; } 2>/dev/null < "$WORK_DIR/lost-$SLURM_JOB_ID"
    if [[ "$before" != "${newest:-none}" ]]; then count=0; fi
    echo "${newest:-none} $((count + 1))" > "$WORK_DIR/lost-$SLURM_JOB_ID"
    if ((count < 10)); then requeue; fi
fi
exit "$status"
