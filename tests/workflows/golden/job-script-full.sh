#!/usr/bin/env bash

#SBATCH -J minkgen-RUN
#SBATCH -e /home/me/logs/minkgen-RUN-%J.err
#SBATCH -o /home/me/logs/minkgen-RUN-%J.out
#SBATCH -p compute
#SBATCH -A my-project
#SBATCH -n 1
#SBATCH --cpus-per-task=2
#SBATCH --mem=7680M
#SBATCH -t 04:00:00
#SBATCH --qos=long
#SBATCH --constraint=cpu
module load gcc/13.2
module load python/3.11
ulimit -c 0
mkdir -p -m 700 $TMPDIR/local/minkgen-$UID
[[ -O $TMPDIR/local/minkgen-$UID && ! -L $TMPDIR/local/minkgen-$UID ]] || { echo "$TMPDIR/local/minkgen-$UID is not ours" >&2; exit 1; }
export NUMBA_CACHE_DIR=$TMPDIR/local/minkgen-$UID/numba
export PYTHONSAFEPATH=1
export ZARR_THREADING__MAX_WORKERS=1
export DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=False
export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False
export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False
/project/venv/bin/python -m distributed.cli.dask_worker tls://SCHEDULER --name WORKER --nthreads 2 --memory-limit 7.50GiB --nanny --death-timeout 180 --local-directory $TMPDIR/local/minkgen-$UID/dask --dashboard-address 127.0.0.1:0 --lifetime 12840s --lifetime-stagger 1440s --interface ib0 --protocol tls:// --tls-ca-file KEYS/ca.pem --tls-cert KEYS/cert.pem --tls-key KEYS/key.pem
