"""Results as text for people, made from what the JSON files hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from minkgen.evaluate.classes import WET_CLASSES
from minkgen.evaluate.published import NOTE, PUBLISHED, SOURCE
from minkgen.evaluate.tables import (
    Column,
    ScoreRow,
    columns_of,
    published_columns,
    table_text,
)

__all__ = ["headline", "scores_text"]


def headline(content: Mapping[str, Any]) -> str:
    """Return what was evaluated on what, line by line."""
    tiles = content["tiles"]
    split = f"{content['split']} split of {content['snapshot']}"
    lines = [f"{split}: {tiles['wet']} wet tiles ({tiles['dry']} dry ones left out)"]
    for about in content["about"].values():
        lines += [
            _run_line(about["title"], seed, run) for seed, run in about.get("seeds", {}).items()
        ]
    return "\n".join([*lines, str(content["attribution"])])


def _run_line(title: str, seed: str, run: Mapping[str, Any]) -> str:
    return (
        f"{title}, seed {seed}: {run['run']}, {run['epochs']} epochs (best {run['best_epoch']}) "
        f"of {run['tiles']} tiles in {run['seconds']:.0f} s on {run['hardware']}"
    )


def scores_text(
    content: Mapping[str, Any],
    rows: Sequence[ScoreRow],
    fidelity: Mapping[str, Any],
    throughput: Mapping[str, Any],
) -> str:
    """Return the whole evaluation as text.

    Parameters
    ----------
    content, fidelity, throughput : mapping
        What `scores.json`, `fidelity.json` and `throughput.json` hold.
    rows : sequence of ScoreRow
        Of the main table.
    """
    functionals = content["functionals"]
    parts = [
        headline(content),
        table_text(rows, columns_of(functionals)),
        "\n".join(
            [
                f"The paper's numbers ({SOURCE}; {NOTE}):",
                table_text(published_rows(), published_columns(functionals)),
            ]
        ),
        *(_by_class(content, score) for score in ("loss", "r2", *functionals)),
        *(_by_threshold(content, name) for name in functionals),
        _fidelity(content, fidelity),
        _throughput(content, throughput),
    ]
    return "\n\n".join(parts)


def published_rows() -> list[ScoreRow]:
    """Return the published rows, in the order of the paper."""
    return [ScoreRow(name, dict(scores), spreads) for name, (scores, spreads) in PUBLISHED.items()]


def _seeds(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return list(content["surrogates"][name].values())


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def _by_class(content: Mapping[str, Any], score: str) -> str:
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
    return f"{title} by wet fraction\n{table_text(rows, columns)}"


def _by_threshold(content: Mapping[str, Any], functional: str) -> str:
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
    return f"R2 {functional} by threshold\n{table_text(rows, columns)}"


def _fidelity(content: Mapping[str, Any], fidelity: Mapping[str, Any]) -> str:
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
    return f"{head}\n{table_text(rows, columns)}"


def _throughput(content: Mapping[str, Any], throughput: Mapping[str, Any]) -> str:
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
    return f"{head}\n{table_text(rows, columns)}"
