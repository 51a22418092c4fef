"""Tables of results, made from what the JSON files hold, so that they can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from minkgen.evaluate.classes import WET_CLASSES
from minkgen.evaluate.published import NOTE, PUBLISHED, SOURCE
from minkgen.evaluate.tables import (
    Column,
    ScoreRow,
    Table,
    columns_of,
    published_columns,
    table_rows,
)

__all__ = ["headline", "inversion_table", "mechanism_table", "run_lines", "score_tables"]


def headline(content: Mapping[str, Any]) -> str:
    """Return what was evaluated on what, line by line."""
    tiles = content["tiles"]
    split = f"{content['split']} split of {content['snapshot']}"
    lines = [f"{split}: {tiles['wet']} wet tiles ({tiles['dry']} dry ones left out)"]
    return "\n".join([*lines, *run_lines(content["about"]), str(content["attribution"])])


def run_lines(about: Mapping[str, Any]) -> list[str]:
    """Return a line for every run that a result's rows come from: what it has spent."""
    return [
        _run_line(row["title"], seed, run)
        for row in about.values()
        for seed, run in row.get("seeds", {}).items()
    ]


def _run_line(title: str, seed: str, run: Mapping[str, Any]) -> str:
    weight = run.get("geometric_weight")
    geometry = "" if weight is None else f"; weight of the geometric loss {weight:.3g}"
    return (
        f"{title}, seed {seed}: {run['run']}, {run['epochs']} epochs (best {run['best_epoch']}) "
        f"of {run['tiles']} tiles in {run['seconds']:.0f} s on {run['hardware']}{geometry}"
    )


def score_tables(
    content: Mapping[str, Any], fidelity: Mapping[str, Any], throughput: Mapping[str, Any]
) -> list[Table]:
    """Return all tables of an evaluation, the main one first.

    Parameters
    ----------
    content, fidelity, throughput : mapping
        What `scores.json`, `fidelity.json` and `throughput.json` hold.
    """
    functionals = content["functionals"]
    published = [
        ScoreRow(name, dict(scores), spreads) for name, (scores, spreads) in PUBLISHED.items()
    ]
    return [
        Table("Scores", table_rows(content["table"]), columns_of(functionals)),
        Table(f"The paper's numbers ({SOURCE}; {NOTE})", published, published_columns(functionals)),
        *(_by_class(content, score) for score in ("loss", "r2", *functionals)),
        *(_by_threshold(content, name) for name in functionals),
        _fidelity(content, fidelity),
        _throughput(content, throughput),
    ]


def _seeds(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return list(content["surrogates"][name].values())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def _by_class(content: Mapping[str, Any], score: str) -> Table:
    """Return a score by wet fraction: L_M, R² over all, or R² of a functional; means over seeds."""
    rows = []
    for name, about in content["about"].items():
        scores: dict[str, float | None] = {}
        for wet_class in WET_CLASSES:
            of_class = [
                seed["classes"][wet_class]
                for seed in _seeds(content, name)
                if wet_class in seed["classes"]
            ]
            values = [
                each["loss"]["counting"]
                if score == "loss"
                else each["r2"]["log1p"]["mean" if score == "r2" else score]
                for each in of_class
            ]
            scores[wet_class] = _mean(values)
        rows.append(ScoreRow(about["title"], scores))
    title = {"loss": "L_M (counting)", "r2": "R2"}.get(score, f"R2 {score}")
    first = _seeds(content, next(iter(content["about"])))[0]["classes"]
    columns = [
        Column(name, f"{name} ({first[name]['samples']} tiles)", "{:.3f}".format)
        for name in WET_CLASSES
        if name in first
    ]
    return Table(f"{title} by wet fraction", rows, columns)


def _by_threshold(content: Mapping[str, Any], functional: str) -> Table:
    rows = [
        ScoreRow(
            about["title"],
            {
                str(place): _mean(
                    [
                        seed["r2_per_threshold"]["log1p"][functional][place]
                        for seed in _seeds(content, name)
                    ]
                )
                for place in range(len(content["thresholds_mm_h"]))
            },
        )
        for name, about in content["about"].items()
    ]
    columns = [
        Column(str(place), f"{threshold:.2f} mm/h", "{:.3f}".format)
        for place, threshold in enumerate(content["thresholds_mm_h"])
    ]
    return Table(f"R2 {functional} by threshold", rows, columns)


def _fidelity(content: Mapping[str, Any], fidelity: Mapping[str, Any]) -> Table:
    """Return median cosine and relative error of all functionals, by temperature and step."""
    rows = []
    for name, scales in fidelity["curves"].items():
        for scale, kinds in scales.items():
            title = content["about"][name]["title"]
            scores: dict[str, float | None] = {}
            for step, parts in kinds["both"].items():
                for measure in ("cosine", "relative_l2"):
                    found = parts["all"][measure]
                    scores[f"{measure}{step}"] = found["median"] if found else None
            rows.append(ScoreRow(title if len(scales) == 1 else f"{title}, T x {scale}", scores))
    steps = next(iter(next(iter(fidelity["curves"].values())).values()))["both"]
    columns = [
        Column(f"{measure}{step}", f"{label}, h = {step} %", "{:.3f}".format)
        for measure, label in (("cosine", "cosine"), ("relative_l2", "relative L2"))
        for step in steps
    ]
    head = (
        f"Gradient fidelity: h <g, v> against exact changes, {fidelity['directions']} directions, "
        f"medians over {len(fidelity['rows'])} tiles, all functionals alike"
    )
    return Table(head, rows, columns)


def _throughput(content: Mapping[str, Any], throughput: Mapping[str, Any]) -> Table:
    rows = [ScoreRow(content["about"][name]["title"], timed) for name, timed in throughput.items()]
    columns = [
        Column("forward", "forward [tiles/s]", "{:.0f}".format),
        Column("forward_backward", "forward + backward [tiles/s]", "{:.0f}".format),
    ]
    timed = next(iter(throughput.values()))
    head = (
        f"Throughput: medians of calls with {timed['batch']} tiles, {timed['threads']} thread"
        f"{'' if timed['threads'] == 1 else 's'} of torch, {timed['device']}"
    )
    return Table(head, rows, columns)


def inversion_table(content: Mapping[str, Any]) -> Table:
    """Return the table of an inversion, from what `inversion.json` holds."""
    columns = [
        Column("loss", "L_M of the exact γ (counting)", "{:.3f}".format),
        *(
            Column(f"mae_{name}", f"MAE {name} [{content['units'][name]}]", "{:.4g}".format)
            for name in content["functionals"]
        ),
        Column("ratio", "RAPSD ratio, truth / inverted", "{:.3g}".format),
        Column("log_ratio", "RAPSD mean |log ratio|", "{:.3g}".format),
    ]
    named = {"noise to begin with": content["start"]} | {
        result["title"]: result for result in content["surrogates"].values()
    }
    rows = [
        ScoreRow(
            title,
            {
                "loss": result["exact_loss"]["counting"],
                **{f"mae_{name}": error for name, error in result["mae"].items()},
                **(result["rapsd"] or {}),
            },
        )
        for title, result in named.items()
    ]
    head = (
        f"{len(content['rows'])} tiles of the {content['split']} split of {content['snapshot']} "
        f"inverted in {content['settings']['steps']} steps of Adam"
    )
    return Table(head, rows, columns)


def mechanism_table(content: Mapping[str, Any]) -> Table:
    """Return the table of a mechanistic test, from what `mechanism.json` holds."""
    columns = [
        *(
            Column(name, f"response of {name} [% of the exact]", _percent)
            for name in content["functionals"]
        ),
        Column("attribution", "attribution in the cell [%]", _percent),
    ]
    rows = [
        ScoreRow(
            content["about"][name]["title"],
            {**result["response"], "attribution": result["attribution_in_cell"]},
        )
        for name, result in content["surrogates"].items()
    ]
    cell = content["cell"]
    head = (
        f"One cell of {cell['pixels']} pixels ({100 * cell['share']:.1f} % of the tile), peak "
        f"{cell['peak_mm_h']:.1f} mm/h, scaled by {content['factors'][0]:g} to "
        f"{content['factors'][-1]:g}"
    )
    return Table(head, rows, columns)


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f}"
