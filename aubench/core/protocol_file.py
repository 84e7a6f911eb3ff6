"""Reader of protocols in TOML."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import ValidationError

from aubench.core.errors import ProtocolError, suggest
from aubench.core.protocol import Protocol
from aubench.core.value_problems import problem, problem_with_value

_MAX_BYTES = 256 * 1024


def load(path: Path) -> Protocol:
    """Read and validate a protocol in TOML.

    Raises:
        ProtocolError: The file is not TOML, a key is unknown or missing, or the roles of a fold overlap or are
            incomplete.
    """
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES:
            raise ProtocolError(f"is larger than {_MAX_BYTES} bytes", where=path)
        values = tomllib.loads(content.decode("utf-8-sig"))
        if "narrowed_from" in values:
            raise ProtocolError("key 'narrowed_from' is not allowed in a file", where=path, hint="use --modalities")
        return Protocol.model_validate(values)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(f"is not TOML ({error})", where=path) from None
    except ValidationError as error:
        raise ProtocolError(_validation_error(error), where=path) from None


def _validation_error(error: ValidationError) -> str:
    ranks = {"extra_forbidden": 0, "value_error": 1}  # a misspelt key before a missing one
    first = min(error.errors(), key=lambda detail: ranks.get(detail["type"], 2))
    key = ".".join(str(part) for part in first["loc"] if not _IS_BRANCH.fullmatch(str(part)))
    if first["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {suggest(key, Protocol.model_fields)}"
    return f"key '{key}': {problem_with_value(first)}" if key else problem(first)


_IS_BRANCH = re.compile(r"int|str|FrameList|dict\[.*")
"""Names of alternatives of a field's type, which pydantic adds to the path of a key."""
