"""Errors survive the way between processes, and say what, where, got, expected, next."""

from __future__ import annotations

import pickle

import pytest

from minkgen import errors

OTHERWISE_MADE = {"RecipeError", "SiteError", "FailedTask", "TasksFailed"}
KINDS = [getattr(errors, name) for name in errors.__all__ if name not in OTHERWISE_MADE]


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_same_after_pickling(kind: type[errors.MinkgenError]) -> None:
    error = kind("it broke", where="here", got=3, expected=4, hint="mend it")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.one_line() == "it broke (where: here; got: 3; expected: 4; next: mend it)"


@pytest.mark.parametrize(
    ("kind", "named"),
    [(errors.RecipeError, "the recipe has"), (errors.SiteError, "the site profile has")],
)
def test_a_recipe_error_lists_its_faults(kind: type[errors.RecipeError], named: str) -> None:
    error = kind(["a: wrong", "b: missing"], where="r.yaml")
    assert str(error).startswith(named)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.faults == ("a: wrong", "b: missing")
    assert "2 faults" in str(copy)
    assert "- b: missing" in str(copy)


def test_failed_tasks_are_listed_with_their_attempts() -> None:
    failures = [
        errors.FailedTask("day 1", ("OSError: a", "OSError: b"), "Traceback ...\n"),
        errors.FailedTask("day 2", ("KilledWorker: c",), ""),
    ]
    error = errors.TasksFailed("no day", failures, 9)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert copy.failures == tuple(failures)
    assert "2 of 9 tasks failed" in str(copy)
    assert "attempt 2: OSError: b" in str(copy)
    assert copy.where == "day 1"
