"""Functions that the configuration names as `module:function`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable


def extra(name: str) -> str:
    """How to come by what an extra brings: not by our bare name, which on PyPI is somebody else's."""
    return f"the extra {name}: pip install -c constraints.txt '.[{name}]' in a clone of the repository"


def imported(what: str, spec: str, beside: Path | None) -> Callable[..., Any]:
    """The function that `spec` names; modules in the folder `beside` are found first.

    Raises `SettingsError`, which calls it `what`.
    """
    module, _, function = spec.partition(":")
    if not module or not function:
        raise SettingsError(f"{what} must name module:function.")
    if beside is not None and str(beside) not in sys.path:
        sys.path.insert(0, str(beside))
    try:
        found = getattr(importlib.import_module(module), function)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's module may raise anything while it is imported
        raise SettingsError(f"{what} cannot be imported: {reason(error)}{_place(error, beside)}.") from error
    if not callable(found):
        raise SettingsError(f"{what} is not a function.")
    checked: Callable[..., Any] = found
    return checked


def _place(error: BaseException, beside: Path | None) -> str:
    """Where it broke: their line before a library's. A SyntaxError tells its own."""
    if isinstance(error, SyntaxError):
        return ""
    frames = [
        (Path(frame.f_code.co_filename), line)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_code.co_filename not in {__file__, importlib.__file__}
        and not frame.f_code.co_filename.startswith("<")
    ]
    theirs = [
        (file.relative_to(beside).as_posix(), line)
        for file, line in frames
        if beside is not None and file.is_relative_to(beside) and "site-packages" not in file.parts
    ]
    found = theirs or [(file.name, line) for file, line in frames]
    return f" ({found[-1][0]}, line {found[-1][1]})" if found else ""


def reason(error: BaseException) -> str:
    """The error's class and, where it has one, the first line of what it says."""
    try:
        lines = str(error).strip().rstrip(".").splitlines()
    except Exception:  # noqa: BLE001 - an exception of somebody else's may not even be able to say so
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
