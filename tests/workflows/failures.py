"""A task that fails as scripted, attempt by attempt, and counts how often it was called.

Tasks run in processes that come and go, so that the calls are counted through files in a folder.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from minkgen.errors import InputError, TransferError

__all__ = ["Ending", "ScriptedTask"]

Ending = Literal["done", "raises", "refuses its input", "loses its server", "kills its worker"]


@dataclass(frozen=True)
class ScriptedTask:
    """A task function of one word.

    Attributes
    ----------
    folder : Path
        Empty at first; holds one file per call.
    script : mapping of str to tuple
        How the attempts for a word end, in order; those that are not scripted are done.
    """

    folder: Path
    script: Mapping[str, tuple[Ending, ...]] = field(default_factory=dict)

    def __call__(self, word: str) -> str:
        attempt = self._count_call(word)
        endings = self.script.get(word, ())
        ending = endings[attempt - 1] if attempt <= len(endings) else "done"
        if ending == "raises":
            raise OSError(f"attempt {attempt} for {word}\nfailed")
        if ending == "refuses its input":
            raise InputError("the word is wrong", where=word, got=attempt)
        if ending == "loses its server":
            raise TransferError("the server is away", where=word)
        if ending == "kills its worker":
            os.kill(os.getpid(), signal.SIGKILL)
        return f"{word} done at attempt {attempt}"

    def calls(self, word: str) -> int:
        """Return how often the task was called for a word."""
        return len(list(self.folder.glob(f"{word}.*")))

    def _count_call(self, word: str) -> int:
        number = 1
        while True:
            try:
                (self.folder / f"{word}.{number}").touch(exist_ok=False)
            except FileExistsError:
                number += 1
            else:
                return number
