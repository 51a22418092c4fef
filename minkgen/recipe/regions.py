"""The region that tiles are cut from: a box or a polygon on WGS84."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from minkgen.recipe.sections import Section

__all__ = ["Position", "Region"]

Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Position = tuple[Longitude, Latitude]
Box = tuple[Longitude, Latitude, Longitude, Latitude]
Polygon = tuple[Position, ...]
Edge = tuple[Position, Position]


def _not_turned(box: Box) -> Box:
    west, south, east, north = box
    if west >= east or south >= north:
        raise ValueError(
            "must be [west, south, east, north] in degrees with west < east and south < north "
            "(a box across the antimeridian is not supported)"
        )
    return box


def _simple(corners: Polygon) -> Polygon:
    """Return the corners of a polygon once each; refuse one whose inside is not clear."""
    if len(corners) > 1 and corners[0] == corners[-1]:  # closed, as GeoJSON writes it
        corners = corners[:-1]
    if len(corners) < 3 or len(set(corners)) < len(corners):
        raise ValueError("must have at least 3 corners, each given once")
    edges = list(pairwise((*corners, corners[0])))
    if any(abs(start[0] - end[0]) > 180 for start, end in edges):
        raise ValueError("has an edge across the antimeridian, which is not supported")
    for one, other in _strangers(edges):
        if _meet(one, other):
            raise ValueError(f"crosses itself: the edges {_text(one)} and {_text(other)} meet")
    if all(_side(edge, corners[0]) == 0 for edge in edges):
        raise ValueError("encloses no area: all corners lie on one line")
    return corners


def _strangers(edges: list[Edge]) -> Iterator[tuple[Edge, Edge]]:
    """Yield every pair of edges that share no corner."""
    for index, edge in enumerate(edges):
        last = len(edges) - 1 if index == 0 else len(edges)
        for other in edges[index + 2 : last]:
            yield edge, other


def _meet(one: Edge, other: Edge) -> bool:
    """Return whether two edges cross, touch or lie upon each other."""
    for axis in (0, 1):
        (low, high), (other_low, other_high) = (
            sorted(position[axis] for position in edge) for edge in (one, other)
        )
        if low > other_high or other_low > high:
            return False
    return _straddles(one, other) and _straddles(other, one)


def _straddles(edge: Edge, other: Edge) -> bool:
    """Return whether an edge has ends on both sides of another's line, or on it."""
    return _side(other, edge[0]) * _side(other, edge[1]) <= 0


def _side(edge: Edge, position: Position) -> int:
    """Return 1 or -1 for a position left or right of an edge's line, 0 for one on it."""
    (x1, y1), (x2, y2), (x3, y3) = *edge, position
    area = (x2 - x1) * (y3 - y1) - (y2 - y1) * (x3 - x1)
    return (area > 0) - (area < 0)


def _text(edge: Edge) -> str:
    return f"{list(edge[0])} to {list(edge[1])}"


class Region(Section):
    """The part of the grid that tiles are cut from, on WGS84; all of it by default.

    A tile belongs to the region when its centre lies inside. Edges are straight in longitude and
    latitude. Western and southern edges belong to the region, eastern and northern ones do not:
    no tile belongs to two regions that share an edge.
    """

    box: Annotated[Box, AfterValidator(_not_turned)] | None = Field(
        default=None, description="west, south, east, north in degrees"
    )
    polygon: Annotated[Polygon, Field(max_length=500), AfterValidator(_simple)] | None = Field(
        default=None, description="corners [longitude, latitude] in degrees, in order"
    )

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.box is not None and self.polygon is not None:
            raise ValueError("has a box and a polygon: give one of them")
        return self

    def corners(self) -> Polygon | None:
        """Return the corners in order, without the first again; None for the whole grid."""
        if self.box is None:
            return self.polygon
        west, south, east, north = self.box
        return (west, south), (east, south), (east, north), (west, north)
