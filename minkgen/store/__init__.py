"""The feature store on disk: the only place that knows how Zarr is laid out."""
