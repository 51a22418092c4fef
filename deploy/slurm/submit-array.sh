#!/bin/bash
# A snapshot by an array of jobs without a scheduler of ours: plan, shares, publication.
#
#   submit-array.sh N RECIPE [options of `minkgen compute`]
#
# The second job waits until the plan is made, the third until all N shares are done; if one fails,
# what waits for it is cancelled, and the same command again goes on where it ended.
# MINKGEN_SBATCH_OPTIONS chooses queue and account of all, and sbatch reads SBATCH_PARTITION and
# SBATCH_ACCOUNT: MINKGEN_SBATCH_OPTIONS="--partition=main --account=radar". Prints the jobs' numbers.
set -euo pipefail

shares=${1:?how many shares, for example 16}
recipe=$(realpath "${2:?a recipe}")
shift 2
here=$(realpath "$(dirname "$0")")

submit() {
    # shellcheck disable=SC2086 - several options in one variable
    sbatch --parsable --kill-on-invalid-dep=yes ${MINKGEN_SBATCH_OPTIONS:-} "$@" | cut -d ';' -f 1
}

plan=$(submit "$here/compute.sbatch" "$recipe" --dry-run "$@")
parts=$(submit --dependency="afterok:$plan" --array="1-$shares" \
    "$here/array.sbatch" "$shares" "$recipe" "$@")
publication=$(submit --dependency="afterok:$parts" "$here/compute.sbatch" "$recipe" "$@")
echo "plan $plan, shares $parts, publication $publication"
