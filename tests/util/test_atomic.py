"""Text of JSON files."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aubench._util import atomic
from aubench._util.output_paths import check_output_file, check_output_folder

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_keys = st.text() | st.integers() | st.booleans() | st.none()
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(_values)
@settings(max_examples=200)
def test_json_text_is_that_of_json_dumps_with_an_indent(value):
    assert atomic.json_text(value) == json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.json_text({"a": [{"b": float("nan")}]})


def test_a_link_remains_and_its_file_is_replaced(tmp_path):
    (tmp_path / "link").symlink_to("file")
    atomic.write_text(tmp_path / "link", "one")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "one"


def test_a_pipe_is_written_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()))
    reader.start()
    atomic.write_text(tmp_path / "pipe", "one")
    reader.join(10)
    assert received == ["one"] and (tmp_path / "pipe").is_fifo()


def test_standard_output_is_written_also_if_it_is_a_pipe(tmp_path):
    script = "from pathlib import Path; from aubench._util import atomic; atomic.write_text(Path('/dev/stdout'), 'one')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "one"


@pytest.mark.parametrize("name", ["new", "file", "link", "dangling", "a/b/new"])
def test_a_check_of_an_output_leaves_nothing_behind(tmp_path, name):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("missing")
    check_output_file(tmp_path / name)
    check_output_file(Path("/dev/null"))
    check_output_folder(tmp_path / "a/b")
    check_output_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "link"]
