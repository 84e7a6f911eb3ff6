"""Records for the snippets in the documentation."""

import importlib.util
from pathlib import Path

_factory = importlib.util.spec_from_file_location("record_factory", Path(__file__).parents[1] / "record_factory.py")
_module = importlib.util.module_from_spec(_factory)
_factory.loader.exec_module(_module)
make_record = _module.make_record
