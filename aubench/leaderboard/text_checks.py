"""Checks that names and texts of a record mean the same in a file system, a terminal, Markdown and HTML."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from aubench.core import method_catalogue
from aubench.leaderboard.records import Finding, StoredRecord
from aubench.results import record

_RESERVED = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
"""Names of devices of Windows, which no file or folder there can have."""
_LOOKALIKES = str.maketrans({"0": "o", "1": "l", "i": "l", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g"})
_BASELINES = {"always positive", "always present", "prevalence"}
_MARKUP = re.compile(
    r"^[=+-]|[<>|`*$\\\[\]{}~^]"  # formulas of spreadsheets, HTML, tables, code, emphasis, mathematics, links
    r"|&#?\w+;|\w://|\bwww\.|\b[\w-]+\.(?:com|org|net|io|ai|dev|app|info|xyz|me)\b"  # entities and addresses
    r"|(?<!\w)@\w|\w@\w|#\w|:[a-z0-9_+-]+:"  # mentions, references, emoji
    r"|(?<!\w)_|_(?!\w)|__|(?:^|\s)(?:-{3,}|={3,})",  # emphasis, headings
    re.IGNORECASE,
)
_PATH_MARKUP = re.compile(r"[<>|`*$\[\]{}^]|&#?\w+;|\w://")
"""Markup in the path of a file."""
_OPERATION = re.compile(r"[A-Za-z0-9_.]{1,100}(::[A-Za-z0-9_.]{1,100})?")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,99}")
_MACHINE = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_SYMBOLS = "®™©°"
_MAX_LENGTH = 300


def check_texts(run: StoredRecord) -> Iterator[Finding]:
    """Check the names and texts of a record."""
    method = run.info.method
    for field, problem in (
        ("method.name", folder_problem(method.name)),
        ("run", folder_problem(run.info.run)),
        ("method.name", _name_problem(run, method.name)),
        ("method.title", _name_problem(run, method.title)),
    ):
        if problem:
            yield run.finding(record.FILE, f"{field}: {problem}")
    for field, text, markup in _texts(run):
        if problem := text_problem(text, markup):
            yield run.finding(record.FILE, f"{field}: {problem}")


def folder_problem(name: str) -> str | None:
    """Return the reason why a folder cannot have a name, or None."""
    return f"'{name}' is the name of a device on Windows" if _RESERVED.fullmatch(name) else None


def _name_problem(run: StoredRecord, name: str) -> str | None:
    return None if run.info.method.source == "builtin" else name_problem(name, is_submitted=run.info.is_submitted)


def name_problem(name: str, *, is_submitted: bool) -> str | None:
    """Return the reason why a method that is not built in cannot have a name or title, or None.

    Args:
        name: Name or title.
        is_submitted: Whether it is that of submitted predictions. These are in a table of their own, so another
            implementation of a built-in method may have its name.
    """
    if lookalike(name) in {lookalike(baseline) for baseline in _BASELINES}:
        return f"'{name}' reads like the name of a baseline"
    for builtin, facts in method_catalogue.builtin_facts().items():
        if is_submitted and name in (builtin, facts.title):
            continue
        if lookalike(name) in (lookalike(builtin), lookalike(facts.title)):
            return f"'{name}' reads like the built-in method {builtin}"
    return None


@lru_cache(maxsize=4096)
def lookalike(name: str) -> str:
    """Return a text that names which look alike share, e.g. without case and with letters for digits."""
    letters = re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", name).casefold())
    return letters.translate(_LOOKALIKES).replace("rn", "m").replace("vv", "w")


def text_problem(text: str, markup: re.Pattern[str] = _MARKUP) -> str | None:
    """Return the reason why a text is not plain, or None.

    Args:
        text: Text of one line.
        markup: Pattern of what the text must not contain.
    """
    if len(text) > _MAX_LENGTH:
        return f"has {len(text):,} characters, at most {_MAX_LENGTH} are allowed"
    for character in text:
        if not _is_plain(character):
            name = unicodedata.name(character, "control character")
            return f"has the character U+{ord(character):04X} ({name}), hidden or of another alphabet"
    if unicodedata.normalize("NFC", text) != text or text != text.strip():
        return "has spaces at its ends, or letters in pieces"
    for word in re.findall(r"[^\W\d_]+", text):
        if len({unicodedata.name(letter).partition(" ")[0] for letter in word} & {"LATIN", "GREEK"}) > 1:
            return f"mixes alphabets in '{word}'"
    if match := markup.search(text):
        return f"'{match[0]}' means something else in Markdown, HTML or a spreadsheet; use plain words"
    return None


def _is_plain(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    category = unicodedata.category(character)
    if category[0] == "L":
        return unicodedata.name(character).startswith(("LATIN ", "GREEK "))
    return character in _SYMBOLS or category in ("Pd", "Po", "Pi", "Pf", "Sm", "No", "Sc")


def _texts(run: StoredRecord) -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """Yield field, text and forbidden markup of each free text."""
    info = run.info
    fields: dict[str, Any] = {"method.title": info.method.title, "dataset.version": info.dataset.version}
    fields |= {"dataset.variant": info.dataset.variant, "search.study": info.search.study}
    for i, item in enumerate(info.pretraining):
        fields |= {f"pretraining.{i}.stage": item.stage, f"pretraining.{i}.source": item.source}
        fields |= {f"pretraining.{i}.datasets.{k}": name for k, name in enumerate(item.datasets)}
    for prefix, environment in info.environment_fields.items():
        fields |= {f"{prefix}device.{name}": getattr(environment.device, name) for name in ("name", "precision")}
    yield from ((field, text, _MARKUP) for field, text in fields.items() if text is not None)
    for name, value in info.recipe.items():
        markup = _PATH_MARKUP if name in info.files else _MARKUP
        yield from ((field, text, markup) for field, text in _strings(f"recipe.{name}", value))
    for field, text in _patterned(run):
        yield field, text, _NOTHING


_NOTHING = re.compile(r"(?s).+")


def _patterned(run: StoredRecord) -> Iterator[tuple[str, str]]:
    """Yield names of operations, machines and packages that do not have the form of one."""
    info = run.info
    for i, fold in enumerate(info.folds):
        if fold.node is not None and not _MACHINE.fullmatch(fold.node):
            yield f"folds.{i}.node", fold.node
    for i, name in enumerate(info.compute.uncounted if info.compute else ()):
        if not _OPERATION.fullmatch(name):
            yield f"compute.uncounted.{i}", name
    for prefix, environment in info.environment_fields.items():
        for package, version in environment.packages.items():
            if not (_PACKAGE.fullmatch(package) and _PACKAGE.fullmatch(version)):
                yield f"{prefix}packages.{package}", f"{package} {version}"


def _strings(field: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(field, key)
            yield from _strings(f"{field}.{key}", item)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _strings(f"{field}.{i}", item)
