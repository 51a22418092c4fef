"""Made-up rain with the climate of the real composites, for tests and demonstrations.

Rain is the sum of two layers, stratiform bands and convective cells. Each is a thresholded
log-normal of a Gaussian field with a power-law spectrum, and both follow a common large-scale
weather. The wind carries the fields along; they grow and decay, faster the smaller the scale. Every
frame is a function of seed and time alone, made without the frames before it. Values below 0.1 mm/h
occur, as in the real files; ceilings, spikes and other failures of real radars do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minkgen.errors import InputError
from minkgen.grid import TEST_2KM, Grid
from minkgen.opera.keys import PRODUCT_NAMES, ArchiveKey
from minkgen.opera.synthetic.odim_writer import Layout, check_layout, check_time, write_composite
from minkgen.opera.synthetic.radar_network import RadarNetwork, radar_network
from minkgen.opera.synthetic.waves import Domain, Waves

__all__ = [
    "CALIBRATED_RAIN",
    "RainLayer",
    "SyntheticRain",
    "nimbus_ladder",
    "rain_field",
    "write_archive",
    "write_composite",
]

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# The first instant a datetime knows, so that no time counts negative.
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
# Numbers that keep the random streams of one seed apart; 3 is the radar network's.
_STREAM_WAVES, _STREAM_DAYS, _STREAM_SPECKLE, _STREAM_QUALITY = 0, 1, 2, 4
# The periodic domain is this much larger than the grid, so that opposite edges are not alike.
_DOMAIN_FACTOR = 1.5


@dataclass(frozen=True)
class RainLayer:
    """One kind of rain: rate = rate_scale * (exp(log_spread * (g - onset)) - 1) where g > onset.

    Parameters
    ----------
    spectral_exponent : float
        The power of g falls as wavenumber to the minus this, at scales below `outer_scale_km`.
    outer_scale_km : float
        Larger scales hold no more power than this one.
    elongation : float
        Ratio of the sides of a typical patch along and across the bands.
    weather_share : float
        Share of the variance of g that is the common large-scale weather.
    onset : float
        Standard deviations of g above which it rains.
    log_spread : float
        Growth of the logarithm of the rate per standard deviation of g.
    rate_scale : float
        mm/h.
    """

    spectral_exponent: float
    outer_scale_km: float
    elongation: float
    weather_share: float
    onset: float
    log_spread: float
    rate_scale: float


@dataclass(frozen=True)
class SyntheticRain:
    """Parameters of the climate; the defaults are calibrated to 20 real composites.

    Eligible tiles of the test grid, 24 frames over six days for each of the seeds 0 to 15: mean and
    extremes of the seeds, beside the real files. Lifetimes are in mm/h.

    ======================  =====  ============  =====
    measured                mean   seeds         real
    ======================  =====  ============  =====
    mean wet fraction       0.171  0.127-0.197   0.178
    median of wet pixels    0.38   0.32-0.42     0.38
    99 % of wet pixels      8.5    6.7-11.3      8.7
    components a tile       182    144-201       181
    holes a tile            152    103-182       149
    95 % component life     3.1    2.6-3.4       3.6
    95 % hole life          0.42   0.33-0.51     0.45
    isoperimetric breaks    3.4 %  2.6-4.0 %     4.3 %
    ======================  =====  ============  =====

    Parameters
    ----------
    stratiform, convective : RainLayer
        The two kinds of rain.
    weather_scale_km : float
        Scale of the large-scale weather.
    weather_elongation : float
        As `RainLayer.elongation`.
    day_spread : float
        Standard deviation, in those of the fields, of a slow swing between wet and dry days.
    band_angle_degrees : float
        Direction of the bands, counter-clockwise from east.
    smoothing_km : float
        Waves of this length lose exp(-1) of their power: the resolution of a radar.
    speckle : float
        Standard deviation of the logarithm of the rate from pixel to pixel and frame to frame.
    wind_m_s : tuple of float
        Speed of the rain eastward and northward.
    lifetime_hours : float
        Hours over which a wave of 100 km keeps a correlation of exp(-1/2) with itself, the wind
        apart; grows as length to the power 2/3.
    """

    stratiform: RainLayer = RainLayer(
        spectral_exponent=3.7,
        outer_scale_km=225.0,
        elongation=1.8,
        weather_share=0.37,
        onset=0.77,
        log_spread=1.43,
        rate_scale=0.145,
    )
    convective: RainLayer = RainLayer(
        spectral_exponent=4.2,
        outer_scale_km=18.0,
        elongation=1.0,
        weather_share=0.65,
        onset=1.61,
        log_spread=1.6,
        rate_scale=0.69,
    )
    weather_scale_km: float = 620.0
    weather_elongation: float = 1.8
    day_spread: float = 0.4
    band_angle_degrees: float = 38.0
    smoothing_km: float = 3.6
    speckle: float = 0.065
    wind_m_s: tuple[float, float] = (11.0, -4.0)
    lifetime_hours: float = 3.0


CALIBRATED_RAIN = SyntheticRain()


@dataclass(frozen=True)
class _Frame:
    """One instant: rates as the product has them, and the echoes too weak to count."""

    rain_rate: Field
    measured_zero: Mask


def rain_field(
    grid: Grid, time: datetime, *, seed: int, climate: SyntheticRain = CALIBRATED_RAIN
) -> Field:
    """Make the rain of one instant up.

    A pure function of its arguments: frames need not be made in order.

    Parameters
    ----------
    grid : Grid
    time : datetime
        A whole minute in UTC.
    seed : int
        Chooses the weather and the radar network.
    climate : SyntheticRain, optional

    Returns
    -------
    ndarray of float32, shape (H, W)
        mm/h on a grid of 0.01, north first; NaN outside coverage, 0 where dry.

    Raises
    ------
    InputError
        If the time is not a whole minute in UTC, or the seed is negative.

    Examples
    --------
    >>> noon = datetime(2024, 7, 1, 12, tzinfo=UTC)
    >>> rain_field(TEST_2KM, noon, seed=0).shape
    (512, 640)
    """
    check_time("time", time)
    _check_seed(seed)
    return _frame(grid, time, seed, climate).rain_rate


def write_archive(
    root: str | Path,
    *,
    start: datetime,
    end: datetime,
    grid: Grid = TEST_2KM,
    layout: Layout = "odyssey",
    seed: int = 0,
    step: timedelta = timedelta(minutes=15),
) -> list[Path]:
    """Write the composites of a period under the keys of the public archive.

    The same arguments give the same bytes; an existing file is replaced whole. Pixels hold
    `rain_field`, on the product's coarser values where the layout is NIMBUS (`nimbus_ladder`).

    Parameters
    ----------
    root : str or Path
        The folder that stands for the bucket; made if need be.
    start, end : datetime
        The period, without its end; whole minutes in UTC.
    grid : Grid, optional
    layout : {"odyssey", "nimbus"}, optional
        Era whose files to imitate; decides the product name, too.
    seed : int, optional
    step : timedelta, optional
        Time between frames, in whole minutes.

    Returns
    -------
    list of Path
        The files, in order of time.

    Raises
    ------
    InputError
        If the period is empty, a time or the step is no whole number of minutes, the seed is
        negative, or the layout is unknown.
    """
    check_time("start", start)
    check_time("end", end)
    check_layout(layout)
    _check_seed(seed)
    if step <= timedelta(0) or step % timedelta(minutes=1):
        raise InputError("the step is no whole number of minutes", got=step)
    if end <= start:
        raise InputError("the period is empty", got=f"{start:%FT%R} to {end:%FT%R}")
    network = radar_network(grid, seed)
    product_name = PRODUCT_NAMES["RATE"][0 if layout == "odyssey" else 1]
    paths = []
    for index in range(-((start - end) // step)):
        time = start + index * step
        frame = _frame(grid, time, seed, CALIBRATED_RAIN)
        path = Path(root) / ArchiveKey(time, product_name).path
        write_composite(
            path,
            frame.rain_rate if layout == "odyssey" else nimbus_ladder(frame.rain_rate),
            _quality(frame, network, layout, _random(_STREAM_QUALITY, seed, time)),
            time=time,
            grid=grid,
            layout=layout,
            measured_zero=frame.measured_zero,
            nodes=network.nodes,
        )
        paths.append(path)
    return paths


def nimbus_ladder(rain_rate: npt.NDArray[np.floating]) -> Field:
    """Carry rates to the nearest value that NIMBUS knows: steps of 0.4 dB, rounded to 0.01 mm/h.

    NIMBUS computes rates from reflectivities in steps of 0.4 dBZ by Z = 200 R^1.6; all values of
    the real files from 0.1 mm/h on are steps of this ladder (measured).

    Parameters
    ----------
    rain_rate : ndarray of float
        mm/h; NaN and 0 stay.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> nimbus_ladder(np.array([0.0, 0.1, 1.0, 50.0])).tolist()
    [0.0, 0.10000000149011612, 1.0299999713897705, 48.619998931884766]
    """
    with np.errstate(divide="ignore"):
        decibel = 10.0 * np.log10(200.0 * rain_rate.astype(np.float64) ** 1.6)
    reflectivity = 10.0 ** (np.round(decibel / 0.4) * 0.04)
    return np.round((reflectivity / 200.0) ** 0.625, 2).astype(np.float32)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise InputError("the seed is negative", got=seed)


def _random(stream: int, seed: int, time: datetime | None = None) -> np.random.Generator:
    """Return the random numbers of one purpose, and of one instant where one is given."""
    minutes = [] if time is None else [(time - _EPOCH) // timedelta(minutes=1)]
    return np.random.default_rng([stream, seed, *minutes])


def _frame(grid: Grid, time: datetime, seed: int, climate: SyntheticRain) -> _Frame:
    """Return the rain of one instant as the radars see it."""
    weather, stratiform, convective = _gaussian_fields(grid, time, seed, climate)
    weather_today = _day_swing(time, seed, climate)
    speckle = climate.speckle * _random(_STREAM_SPECKLE, seed, time).standard_normal(
        grid.shape, dtype=np.float32
    )
    rate = np.zeros(grid.shape, np.float32)
    for layer, own in ((climate.stratiform, stratiform), (climate.convective, convective)):
        share = layer.weather_share
        field = np.float32(np.sqrt(share)) * weather + np.float32(np.sqrt(1.0 - share)) * own
        log_growth = layer.log_spread * (field + (weather_today - layer.onset)) + speckle
        rate += layer.rate_scale * np.maximum(np.expm1(log_growth), 0)
    covered = radar_network(grid, seed).covered
    rounded = np.round(rate.astype(np.float64), 2).astype(np.float32)
    return _Frame(
        rain_rate=np.where(covered, rounded, np.float32(np.nan)),
        measured_zero=covered & (rate > 0) & (rounded == 0),
    )


def _gaussian_fields(grid: Grid, time: datetime, seed: int, climate: SyntheticRain) -> list[Field]:
    """Return weather, stratiform and convective field, each of zero mean and unit variance."""
    domain, all_waves = _waves(grid, seed, climate)
    hours = (time - _EPOCH) / timedelta(hours=1)
    east_km, north_km = (3.6 * speed * hours for speed in climate.wind_m_s)
    shift = domain.turns(east_km, north_km)
    return [waves.field(hours, shift)[: grid.height, : grid.width] for waves in all_waves]


# Two entries, for those who compare two seeds; the full grid takes 100 MB an entry.
@lru_cache(maxsize=2)
def _waves(grid: Grid, seed: int, climate: SyntheticRain) -> tuple[Domain, list[Waves]]:
    """Draw the waves of a seed: weather, stratiform, convective."""
    height, width = (int(_DOMAIN_FACTOR * side) for side in grid.shape)
    domain = Domain((height, width), grid.pixel_km)
    angle = climate.band_angle_degrees
    weather = domain.wavenumber(climate.weather_elongation, angle)
    powers = [np.exp(-((climate.weather_scale_km * weather) ** 2) / 2.0)]
    resolved = np.exp(-((climate.smoothing_km * domain.wavenumber()) ** 2))
    for layer in (climate.stratiform, climate.convective):
        squared = domain.wavenumber(layer.elongation, angle) ** 2 + layer.outer_scale_km**-2
        powers.append(squared ** (-layer.spectral_exponent / 2.0) * resolved)
    # Waves longer than 500 km live no longer than those: a day is not like the day before.
    slowest = np.maximum(domain.wavenumber(), 1.0 / 500.0)
    frequency_spread = (100.0 * slowest) ** (2.0 / 3.0) / climate.lifetime_hours
    random = _random(_STREAM_WAVES, seed)
    return domain, [Waves.draw(domain, power, frequency_spread, random) for power in powers]


def _day_swing(time: datetime, seed: int, climate: SyntheticRain) -> float:
    """Return how much wetter than usual the whole domain is, in standard deviations."""
    days = (time - _EPOCH) / timedelta(days=1)
    periods = np.array([1.1, 1.7, 2.9])
    phases = _random(_STREAM_DAYS, seed).random(periods.size)
    swings = np.sin(2.0 * np.pi * (days / periods + phases))
    return float(climate.day_spread * swings.sum() * np.sqrt(2.0 / periods.size))


def _quality(
    frame: _Frame, network: RadarNetwork, layout: Layout, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return the product's quality: the farther from a radar, the lower."""
    distance = network.relative_range.astype(np.float64)
    noise = random.standard_normal(distance.shape, dtype=np.float32)
    if layout == "nimbus":
        quality = np.round(np.clip(1.0 - 0.3 * distance**2 + 0.03 * noise, 0.0, 1.0), 2)
        return np.where(network.covered, quality, 0.0)
    quality = np.round(np.clip(0.8 * (1.0 - distance) ** 2 + 0.1 * noise, 0.0, 0.9), 1)
    echo = frame.measured_zero | (frame.rain_rate > 0)
    return np.where(echo, quality, np.nan)
