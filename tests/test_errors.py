"""Errors survive the way between processes, and say what, where, got, expected, next."""

from __future__ import annotations

import pickle

import pytest

from minkgen import errors

KINDS = [getattr(errors, name) for name in errors.__all__ if name != "RecipeError"]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_same_after_pickling(kind: type[errors.MinkgenError]) -> None:
    error = kind("it broke", where="here", got=3, expected=4, hint="mend it")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.one_line() == "it broke (where: here; got: 3; expected: 4; next: mend it)"


def test_a_recipe_error_lists_its_faults() -> None:
    error = errors.RecipeError(["a: wrong", "b: missing"], where="r.yaml")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.faults == ("a: wrong", "b: missing")
    assert "2 faults" in str(copy)
    assert "- b: missing" in str(copy)
