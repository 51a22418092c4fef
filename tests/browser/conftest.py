"""Fixtures of the browser tests: one headless Chromium, and pages that note what goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from minkgen.evaluate.report.blocks import Report
from minkgen.evaluate.report.page import render

REQUIRED = "MINKGEN_REQUIRE_BROWSER"


@dataclass
class Opened:
    """A report in a tab, and what its tab complained of."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Start Debian's Chromium without a window for all tests, and stop it at their end."""
    program = shutil.which(os.environ.get("MINKGEN_CHROMIUM", "chromium"))
    if program is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, and there is no chromium on PATH", pytrace=False)
        pytest.skip("no chromium on PATH: tests/browser/install.sh gets it")
    from playwright.sync_api import sync_playwright

    # Its sandbox refuses root, as whom containers and CI run; it opens our own files only.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture
def open_report(chromium: Any, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens a report from a file, as from a file share."""
    contexts = []

    def opened(
        report: Report | Path,
        *,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
    ) -> Opened:
        path = report if isinstance(report, Path) else tmp_path / "report.html"
        if isinstance(report, Report):
            path.write_text(render(report), encoding="utf-8")
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            reduced_motion="reduce",
            offline=True,
        )
        contexts.append(context)
        tab = Opened(context.new_page())
        tab.page.on("console", lambda message: tab.complaints.append(message.text))
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("requestfailed", lambda request: tab.complaints.append(request.url))
        tab.page.on("request", lambda request: tab.requests.append(request.url))
        tab.page.goto(path.as_uri())
        return tab

    try:
        yield opened
    finally:
        for context in contexts:
            context.close()
