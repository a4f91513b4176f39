#!/usr/bin/env bash
# One experiment on a Slurm allocation: Ray starts on every node, the first one drives, all of them train.
#   sbatch cluster/slurm.sh experiments/NAME
# Preempted or out of time: submit it again, it goes on from the results.
#SBATCH --job-name=numerai-ray
#SBATCH --nodes=4                  # EDIT
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16         # EDIT: cores of a node
#SBATCH --mem=30G                  # EDIT: 2 GB a core; 4 for all features of every week
#SBATCH --time=08:00:00            # EDIT
#SBATCH --requeue
#SBATCH --output=%x-%j.log
set -euo pipefail

experiment=${1:?usage: sbatch cluster/slurm.sh experiments/NAME}
data_dir=${NUMERAI_RAY_DATA:-$HOME/numerai/data}                                # EDIT: shared folder or s3://…
results=${NUMERAI_RAY_RESULTS:-$HOME/numerai/results/$(basename "$experiment")} # EDIT: shared folder or s3://…
environment=${NUMERAI_RAY_VENV:-$HOME/numerai/.venv}                            # EDIT: the same on every node

# shellcheck source=/dev/null
source "$environment/bin/activate"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000)) # two allocations may share a node
export RAY_USAGE_STATS_ENABLED=0
# The token that every connection must show: yours, made on first use; srun hands it on to every node.
RAY_AUTH_TOKEN=$(umask 077 && ray get-auth-token --generate)
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token

# The same command everywhere: it starts Ray on each node, runs what follows `--` on the first, and stops Ray.
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \
    ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus "$SLURM_CPUS_PER_TASK" -- \
    numerai-ray run "$experiment" --address auto --data-dir "$data_dir" --results "$results"
