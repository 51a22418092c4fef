"""Where tasks run: a Dask cluster, and the one way in which tasks are submitted and collected."""

from minkgen.workflows.cluster.clients import local_workers, open_client
from minkgen.workflows.cluster.tasks import ATTEMPTS, run_tasks
from minkgen.workflows.cluster.warm_up import warm_up_workers

__all__ = ["ATTEMPTS", "local_workers", "open_client", "run_tasks", "warm_up_workers"]
