"""The leaderboard's page in a headless Chromium: one browser and one page for all tests."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from aubench.leaderboard.protocol_page import results_by_protocol
from aubench.leaderboard.records import StoredRecord
from aubench.leaderboard.site import site_page
from aubench.results import counts

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra dev has playwright")
pytestmark = pytest.mark.slow

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
HOSTILE = "</script><img src=x onerror=alert(1)> | \"'&amp;"
RANKED, ORACLE, DEMO = (f"synth_3fold/{name}" for name in ("ranked/inner_val", "ranked/oracle_test", "demo/inner_val"))


def _browser_path() -> str:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None and os.environ.get("CI"):
        pytest.fail("no Chromium in CI: install Debian's package chromium")
    return path or pytest.skip("no Chromium on this machine: install Debian's package chromium")


@pytest.fixture(scope="module")
def url(make_record, tmp_path_factory) -> str:
    """Build the page of two ranked methods (one with corruptions), two with epochs chosen on test, and a demo.

    A title and a recipe are hostile.
    """
    clean = [make_record("amf", seed=seed, skill=1.0, pretraining_epochs=0) for seed in (0, 1)]
    info = clean[0].info.method.model_copy(update={"title": HOSTILE})
    noisy = [
        replace(
            record,
            info=record.info.model_copy(update={"conditions": ("clean", "noise:all:0.2"), "method": info}),
            counts=counts.canonical(pd.concat([record.counts, record.counts.assign(condition="noise:all:0.2", tp=1)])),
        )
        for record in clean
    ]
    others = [
        make_record("late_fusion", skill=0.5, pretraining_epochs=0),
        make_record("amf", skill=1.2, selection="oracle_test", recipe={"note": HOSTILE}),
        make_record("amf", skill=0.9, selection="oracle_test"),
        make_record("early_fusion", preset="tiny"),
    ]
    runs = [StoredRecord(Path("records", record.relative_path), record) for record in (*noisy, *others)]
    path = tmp_path_factory.mktemp("site") / "index.html"
    path.write_text(site_page.site_html(results_by_protocol(runs), ()), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    """Start the browser."""
    path = _browser_path()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def tab(browser):
    """Open a tab that lists its problems: messages of the console, errors, and requests for anything but the file."""
    page = browser.new_context(accept_downloads=True, color_scheme="light").new_page()
    page.set_default_timeout(10_000)
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request",
        lambda request: problems.extend([] if request.url.startswith(("file:", "data:,", "blob:")) else [request.url]),
    )
    return page, problems


@pytest.fixture
def page(tab, url):
    """Open the page without a state; afterwards nothing may have gone wrong."""
    page, problems = tab
    page.goto("about:blank")
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    yield page
    page.wait_for_timeout(50)
    assert problems == []


def _column(page, header: str) -> list[str]:
    table = page.locator(".board:not([hidden]) .view:not([hidden]) table").first
    index = table.locator("thead th").all_inner_texts().index(header)
    return [row.locator("th, td").nth(index).inner_text() for row in table.locator("tbody tr").all()]


def test_tables_sort_and_search_and_the_address_keeps_both(page):
    assert _column(page, "Method") == ["amf", "late_fusion", "always positive", "prevalence"]
    page.get_by_role("button", name="ACC").first.click()
    assert _column(page, "ACC") == sorted(_column(page, "ACC"), key=float, reverse=True)
    page.get_by_role("button", name="ACC").first.click()
    accuracies = sorted(_column(page, "ACC"), key=float)
    assert _column(page, "ACC") == accuracies
    page.get_by_label("Search").fill("late")
    assert _column(page, "Method") == ["late_fusion"]
    state = page.url
    page.goto("about:blank")
    page.goto(state)
    assert _column(page, "Method") == ["late_fusion"]
    page.get_by_label("Search").fill("")
    assert _column(page, "ACC") == accuracies


def test_a_search_without_a_hit_can_be_cleared(page):
    for text in ("no such method", "prevalence"):
        page.get_by_label("Search").fill(text)
        page.get_by_label("Search").fill("")
        assert _column(page, "Method")[:2] == ["amf", "late_fusion"]


def test_the_link_to_the_results_keeps_the_state(page):
    page.get_by_label("Results").select_option(ORACLE)
    page.locator("a.skip").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(50)
    assert page.evaluate("document.activeElement.id") == "main"
    assert page.get_by_label("Results").input_value() == ORACLE
    page.goto(page.url.partition("#")[0] + "#main")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert _column(page, "Method")


def test_a_copied_command_is_announced_in_the_open_dialog(page):
    page.locator(".board:visible tr[data-row] a").first.click()
    page.locator("#details button", has_text="Copy").first.click()
    sync_api.expect(page.locator("#status")).not_to_be_empty()
    assert page.evaluate("document.getElementById('details').contains(document.getElementById('status'))")


def test_selector_switches_tables_and_demos_have_no_rank(page):
    page.get_by_label("Results").select_option(ORACLE)
    assert _column(page, "Method")[:1] == ["amf"]
    assert "estimate the score on new subjects" in page.locator(".board:visible").inner_text()
    page.get_by_label("Results").select_option(DEMO)
    assert _column(page, "#")[0] == "demo"
    page.get_by_role("tab", name="Ranks and seeds").click()
    assert page.locator("[data-chart=ranks]:visible").count() == 0
    page.get_by_role("tab", name="Cost").click()
    page.locator("[data-chart=hours]:visible svg.marks").wait_for()
    page.go_back()
    page.go_back()
    page.go_back()
    assert page.get_by_label("Results").input_value() == ORACLE


@pytest.mark.parametrize("view", ["aus", "ranks", "cost", "robustness", "learning", "reported"])
def test_each_view_draws_its_charts_and_values_as_text(page, view):
    page.locator(f"[role=tab][data-view={view}]").click()
    charts = page.locator(".view:visible .chart").all()
    for chart in charts:
        chart.locator("svg.marks").wait_for()
        assert "amf" in chart.inner_text()
    assert len(charts) == {"ranks": 2, "cost": 2, "robustness": 1, "learning": 1}.get(view, 0)
    if view not in ("robustness", "reported"):
        assert page.locator(".view:visible tbody tr[data-row]").count() == 2


def test_the_axis_of_one_cost_has_its_size(page):
    page.get_by_label("Results").select_option(DEMO)
    page.get_by_role("tab", name="Cost").click()
    for header, name in (("GFLOPs", "gflops"), ("Hours", "hours")):
        page.locator(f"[data-chart={name}]:visible svg.marks").wait_for()
        labels = page.locator(f"[data-chart={name}]:visible .role-axis-label").first.locator("text")
        (cost,) = map(float, _column(page, header))
        assert float(labels.first.text_content()) == 0 and float(labels.last.text_content()) > cost


def test_curves_of_a_method_can_be_hidden(page):
    page.locator("[role=tab][data-view=learning]").click()
    lines = page.locator(".view:visible .mark-line path")
    sync_api.expect(lines).to_have_count(2)
    page.get_by_role("checkbox", name="late_fusion").uncheck()
    sync_api.expect(lines).to_have_count(1)
    assert "hide=" in page.url


def test_a_row_opens_by_keyboard_with_its_command_and_citation(page):
    page.get_by_role("link", name="late_fusion").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    assert "aubench run --method late_fusion --protocol synth_3fold --device cpu --preset small --seed 0" in text
    assert "@misc{aubench_late_fusion_" in text and "learning_rate" in text and "torch" in text
    assert "row=" in page.url
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "row=" not in url)
    assert not dialog.is_visible()


def test_link_to_a_row_opens_it_with_its_table_and_hostile_text_stays_text(page, url):
    row = page.locator("tr[data-row]").first.get_attribute("data-row")
    page.goto("about:blank")
    page.goto(f"{url}#row={row}")
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading", level=2).inner_text() == HOSTILE
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="Close").click()
    assert page.get_by_label("Results").input_value() == RANKED


def test_hostile_recipe_stays_text_in_tables_charts_and_tooltips(page):
    page.get_by_label("Results").select_option(ORACLE)
    assert "note=</script><img" in _column(page, "Preset")[0]
    page.get_by_role("tab", name="Ranks and seeds").click()
    chart = page.locator("[data-chart=seeds]:visible")
    chart.locator("svg.marks").wait_for()
    assert "note=</script>" in chart.inner_text()
    points = chart.locator(".mark-symbol path")
    points.nth(points.count() - 2).hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "note=</script><img" in page.locator("#vg-tooltip-element").inner_text()
    assert page.locator("img, .chart script").count() == 0


def test_theme_switches_page_and_charts(page):
    page.locator("[role=tab][data-view=ranks]").click()
    body, label = page.locator("body"), page.locator(".view:visible .chart .role-axis-label text").first
    colours = [(body, "background-color", "rgb(255, 255, 255)"), (label, "fill", "rgb(27, 31, 36)")]
    for locator, name, colour in colours:
        sync_api.expect(locator).to_have_css(name, colour)
    page.get_by_role("button", name="Switch between light and dark").click()
    for locator, name, colour in colours:
        sync_api.expect(locator).not_to_have_css(name, colour)
    assert "theme=dark" in page.url


def test_downloads_have_the_rows(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "synth_3fold-ranked-inner_val.csv"
    frame = pd.read_csv(download.value.path())
    assert frame["method"].tolist() == ["amf", "late_fusion", "always positive", "prevalence"]
    assert frame["f1"].between(0, 1).all()
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON").click()
    content = json.loads(Path(download.value.path()).read_text())
    assert [row["name"] for row in content["charts"]] == ["amf", "late_fusion"]


def test_page_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    for view in ("scores", "cost", "learning"):
        page.locator(f"[role=tab][data-view={view}]").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator(f"[role=tab][data-view={view}]").bounding_box()["x"] < 390
    page.set_viewport_size({"width": 1280, "height": 720})


def test_policy_blocks_requests_of_injected_code(tab, url):
    page, problems = tab
    page.goto("about:blank")
    page.goto(url)
    assert page.evaluate("fetch('https://example.invalid/').then(() => 'sent', (error) => error.name)") == "TypeError"
    assert any("Content Security Policy" in problem for problem in problems)
    assert not any(problem.startswith("https:") for problem in problems)
    problems.clear()
