#!/bin/bash
# A rebuild that submits itself again, for sites without cron on SLURM (see crontab beside this).
#
#   schedule-rebuild.sh EVERY RECIPE [options of `minkgen rebuild`]
#
# EVERY is a time as sbatch knows it: 1hour, 30minutes, 1day. MINKGEN_SBATCH_OPTIONS chooses queue
# and size: MINKGEN_SBATCH_OPTIONS="--partition=transfer --account=radar --mem=8G".
# It ends with: scancel --name=minkgen-rebuild --user="$(id -un)"
set -euo pipefail

every=${1:?how often, for example 1hour}
recipe=$(realpath "${2:?a recipe}")
shift 2
export MINKGEN_REBUILD_EVERY=$every
MINKGEN_REBUILD_SCRIPT=$(realpath "$(dirname "$0")/rebuild.sbatch")
export MINKGEN_REBUILD_SCRIPT
# shellcheck disable=SC2086 - several options in one variable
exec sbatch ${MINKGEN_SBATCH_OPTIONS:-} "$MINKGEN_REBUILD_SCRIPT" "$recipe" "$@"
