#!/usr/bin/env bash

#SBATCH -J minkgen-RUN
#SBATCH -e /h/minkgen-RUN-%J.err
#SBATCH -o /h/minkgen-RUN-%J.out
#SBATCH -p main
#SBATCH -n 1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH -t 04:00:00
mkdir -p -m 700 /scratch/minkgen-$UID
[[ -O /scratch/minkgen-$UID && ! -L /scratch/minkgen-$UID ]] || { echo "/scratch/minkgen-$UID is not ours" >&2; exit 1; }
export NUMBA_CACHE_DIR=/scratch/minkgen-$UID/numba
export PYTHONSAFEPATH=1
export ZARR_THREADING__MAX_WORKERS=1
export DASK_DISTRIBUTED__WORKER__MEMORY__TARGET=False
export DASK_DISTRIBUTED__WORKER__MEMORY__SPILL=False
export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False
/usr/bin/python3 -m distributed.cli.dask_worker tls://SCHEDULER --name WORKER --nthreads 1 --memory-limit 4.00GiB --nanny --death-timeout 180 --local-directory /scratch/minkgen-$UID/dask --dashboard-address 127.0.0.1:0 --lifetime 12840s --lifetime-stagger 1440s --interface lo --protocol tls:// --tls-ca-file KEYS/ca.pem --tls-cert KEYS/cert.pem --tls-key KEYS/key.pem
