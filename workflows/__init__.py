"""What runs on Dask (ingest, compute) and the Python behind train, evaluate and demo."""
