"""Tables of super-resolution, made from what JSON files hold, so that they can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minkgen.evaluate.published import NOTE, PUBLISHED_SUPERRES, SUPERRES_SOURCE
from minkgen.evaluate.results.surrogates import run_lines
from minkgen.evaluate.tables import Column, ScoreRow, Table, table_rows

__all__ = ["MAIN_COLUMNS", "all_columns", "superres_headline", "superres_tables"]


def _show(digits: int) -> Any:
    return f"{{:.{digits}f}}".format


def _percent(share: float) -> str:
    return f"{100.0 * share:.2f}"


# The paper's Table 2; keys are paths of scores.
MAIN_COLUMNS = (
    Column("loss/counting", "L_M (counting)", _show(3)),
    Column("mae", "MAE [mm/h]", _show(4)),
    Column("sal/structure/mean", "S", _show(3)),
    Column("sal/amplitude/mean", "A", _show(3)),
    Column("sal/location/mean", "L", _show(3)),
    Column("rapsd/ratio", "RAPSD ratio, truth / predicted", _show(3)),
)
_BESIDE = (
    Column("loss/measure", "L_M (measure)", _show(4)),
    Column("loss/per_functional/area/counting", "L_M of area (counting)", _show(3)),
    Column("loss/per_functional/perimeter/counting", "L_M of perimeter (counting)", _show(3)),
    Column("loss/per_functional/components/counting", "L_M of components (counting)", _show(3)),
    Column("loss/per_functional/holes/counting", "L1 of log1p holes (counting)", _show(3)),
    Column("rapsd/log_ratio", "RAPSD mean |log ratio|", _show(3)),
    Column("anisotropy/relative", "anisotropy, predicted / truth", _show(3)),
    Column("peak_ratio", "peak ratio", _show(3)),
    Column("mass_bias", "mass, predicted / observed", _show(3)),
    Column("rmse", "RMSE [mm/h]", _show(3)),
    Column("sal/structure/mean_absolute", "|S|", _show(3)),
    Column("sal/amplitude/mean_absolute", "|A|", _show(3)),
)
_EXTREMES = ("0.1", "1", "5", "10", "20", "50")
_LEVELS = ("1e-05", "1e-06")
_FSS = ("0.1", "1", "5", "10")
_WINDOWS = ("1", "5", "11", "21")
_ENSEMBLE = (
    Column("ensemble/crps", "CRPS, fair [mm/h]", _show(4)),
    Column("ensemble/mae_of_mean", "MAE of the members' mean [mm/h]", _show(4)),
    Column("ensemble/spread", "spread [mm/h]", _show(3)),
    Column("ensemble/skill", "RMSE of the members' mean [mm/h]", _show(3)),
    Column("ensemble/spread_skill", "spread / skill", _show(3)),
)
POLICY = (
    "all tiles are scored, dry ones included; SAL leaves out pairs that are dry on both sides, and "
    "pairs that are dry on one side have A = 2 or -2 and no S and L; drizzle is zeroed in "
    "predictions; all scores but those of the ensemble are of member 0"
)


def _groups() -> dict[str, tuple[Column, ...]]:
    """Return the columns of the tables beside the main one, by their titles."""
    exceeded = [
        Column(f"exceedance_ratio/{u}", f"pixels >= {u} mm/h, predicted / observed", _show(3))
        for u in _EXTREMES
    ]
    levels = [
        Column(f"return_level/{p}/bias", f"bias of the level that {p} exceed [%]", _percent)
        for p in _LEVELS
    ]
    fractions = [
        Column(f"fss/{u}/{window}", f"FSS {u} mm/h, {window} px", _show(3))
        for u in _FSS
        for window in _WINDOWS
    ]
    impossible = [
        Column(f"isoperimetric/{name}/{side}/sets", f"{name}, {side} [% sets]", _percent)
        for name in ("perimeter", "perimeter_closed")
        for side in ("predicted", "truth")
    ]
    return {
        "Beside it": _BESIDE,
        "Extremes": (*exceeded, *levels),
        "Fractions skill score": tuple(fractions),
        "Isoperimetric violations": tuple(impossible),
        "Members": _ENSEMBLE,
    }


def all_columns() -> tuple[Column, ...]:
    """Return the columns of all tables, the main one's first."""
    return (*MAIN_COLUMNS, *(column for group in _groups().values() for column in group))


def superres_headline(content: Mapping[str, Any]) -> str:
    """Return what was evaluated on what, line by line."""
    tiles, days = content["tiles"], content["days"]
    split = (
        f"{content['split']} split of {content['snapshot']}: {tiles['wet']} wet and "
        f"{tiles['dry']} dry tiles of {len(days)} day{'' if len(days) == 1 else 's'}"
    )
    lines = [
        split,
        POLICY,
        *run_lines(content["about"]),
        _uncertainty(content),
        str(content["attribution"]),
    ]
    return "\n".join(lines)


def _uncertainty(content: Mapping[str, Any]) -> str:
    spread = "± is the standard deviation over seeds"
    if len(content["days"]) == 1:
        return f"{spread}; days cannot be drawn again, because there is one"
    return f"{spread}; intervals are of days drawn with replacement, for the first seed"


def superres_tables(content: Mapping[str, Any], throughput: Mapping[str, Any]) -> list[Table]:
    """Return all tables of an evaluation, the main one first.

    Parameters
    ----------
    content, throughput : mapping
        What `superres.json` and `superres_throughput.json` hold.
    """
    rows = table_rows(content["table"])
    published = [ScoreRow(title, dict(scores)) for title, scores in PUBLISHED_SUPERRES.items()]
    paper = f"The paper's numbers ({SUPERRES_SOURCE}; {NOTE})"
    beside = [
        Table(title, rows, columns)
        for title, columns in _groups().items()
        if any(row.scores.get(column.key) is not None for row in rows for column in columns)
    ]
    return [
        Table(f"Super-resolution, 25 km to {content['pixel_km']:g} km", rows, MAIN_COLUMNS),
        Table(paper, published, [_two_digits(column) for column in MAIN_COLUMNS]),
        *_intervals(content),
        *beside,
        _speed(content, throughput),
    ]


def _two_digits(column: Column) -> Column:
    return Column(column.key, column.title, _show(2))


def _intervals(content: Mapping[str, Any]) -> list[Table]:
    """Return the intervals of the main scores, where there are any."""
    known = {name: paths for name, paths in content["bootstrap"].items() if paths}
    if not known:
        return []
    columns = [
        Column(f"{column.key} {bound}", f"{column.title}, {percent}", column.show)
        for column in MAIN_COLUMNS
        for bound, percent in (("low", "2.5 %"), ("high", "97.5 %"))
    ]
    rows = [
        ScoreRow(
            content["about"][name]["title"],
            {
                f"{path} {bound}": found[bound]
                for path, found in paths.items()
                for bound in ("low", "high")
            },
        )
        for name, paths in known.items()
    ]
    days = len(content["days"])
    return [Table(f"Intervals of 95 %, from {days} days drawn with replacement", rows, columns)]


def _speed(content: Mapping[str, Any], throughput: Mapping[str, Any]) -> Table:
    columns = [
        Column("fields_per_second", "sampling [fields/s]", "{:.3g}".format),
        Column("steps", "steps", "{:.0f}".format),
        Column("members", "members", "{:.0f}".format),
    ]
    rows = [
        ScoreRow(
            content["about"][name]["title"],
            {**timed, "members": next(iter(content["models"][name].values()))["members"]},
        )
        for name, timed in throughput.items()
    ]
    timed = next(iter(throughput.values()))
    head = (
        f"Sampling: the median batch of up to {content['batch_size']} scenes, "
        f"{timed['threads']} thread{'' if timed['threads'] == 1 else 's'} of torch, "
        f"{timed['device']}"
    )
    return Table(head, rows, columns)
