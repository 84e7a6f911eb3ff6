"""A delivery of BP4D to read."""

import importlib.util
import sys
from pathlib import Path

import pytest

_made = importlib.util.spec_from_file_location("bp4d_delivery", Path(__file__).parents[1] / "bp4d_delivery.py")
_module = importlib.util.module_from_spec(_made)
sys.modules[_made.name] = _module  # dataclasses look there for the types of their fields
_made.loader.exec_module(_module)
delivery, master = _module.delivery, _module.master
take_photo = _module.take_photo


@pytest.fixture
def points_49():
    """See bp4d_delivery."""
    return _module.points_49


@pytest.fixture
def write_points():
    """See bp4d_delivery."""
    return _module.write_points
