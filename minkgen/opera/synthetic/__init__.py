"""Made-up rain, a made-up radar network, and faithful ODIM files of them, for tests and demos."""

from minkgen.opera.synthetic.rain import (
    CALIBRATED_RAIN,
    RainLayer,
    SyntheticRain,
    nimbus_ladder,
    rain_field,
    write_archive,
    write_composite,
)

__all__ = [
    "CALIBRATED_RAIN",
    "RainLayer",
    "SyntheticRain",
    "nimbus_ladder",
    "rain_field",
    "write_archive",
    "write_composite",
]
