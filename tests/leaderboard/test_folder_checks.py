"""Files of a leaderboard folder: built pages are allowed, the same files elsewhere are not."""

import pytest

from aubench.leaderboard.folder_checks import check_folder


@pytest.mark.parametrize("folder", ["site", "variants/site"])
def test_built_pages_are_allowed(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "index.html").touch()
    assert check_folder(tmp_path) == []


@pytest.mark.parametrize("folder", [".", "reported/site", "variants", "variants/reported/site"])
def test_pages_elsewhere_are_refused(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / "index.html").touch()
    (finding,) = check_folder(tmp_path)
    assert finding.path == tmp_path / folder / "index.html" and "has no .html files" in finding.what
