"""Reading OPERA composites (ODIM_H5): files in, physical values with their three states out.

`composite` is the way by which files become numbers, `odim_file` gives safe access to attributes,
`decoding` turns raw arrays into values, and `isolated` does all that in a process of its own.
"""

from minkgen.opera.odim.composite import (
    PRODUCT_SCALING,
    SYNTHETIC_MARK,
    Composite,
    Scaling,
    open_composite,
    read_composite,
)

__all__ = [
    "PRODUCT_SCALING",
    "SYNTHETIC_MARK",
    "Composite",
    "Scaling",
    "open_composite",
    "read_composite",
]
