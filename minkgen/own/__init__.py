"""Rain rates of one's own: CF-like NetCDF files and Zarr hierarchies, (time, y, x), projected.

`files` finds and opens them, `coordinates` says on which grid and when fields are, and `fields`
gathers that of many files and reads single fields, north first and in mm/h.
"""
