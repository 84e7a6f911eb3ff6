"""HTML of tables: escaped text, sort keys and shades."""

from html.parser import HTMLParser

import pytest

from aubench.leaderboard.render import Cell, Table
from aubench.leaderboard.site.elements import block_elements, element, table_element, to_html

EVIL = "</td><script>alert(1)</script> \u202e\x07"


def _table(*values: str) -> Table:
    return Table(("Method", "AU1"), ("left", "right"), tuple((Cell("m"), Cell(value)) for value in values))


def _tags(html: str) -> list[str]:
    """List the elements that a parser of HTML sees, each with its attributes."""
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(" ".join([tag, *(name for name, _ in attributes)]))
    parser.feed(html)
    return tags


def test_text_and_attributes_are_escaped_and_direction_marks_replaced():
    html = to_html(element("p", EVIL, element("b", EVIL), EVIL, title=f'"{EVIL}'))
    assert _tags(html) == ["p title", "b"]
    assert "\u202e" not in html and "\x07" not in html


def test_spaces_of_other_widths_are_plain_spaces():
    assert to_html(element("p", "AU\u00a01\u2009%\u3000x\u2028")) == "<p>AU 1 % x\ufffd</p>"


def test_cells_and_captions_of_a_table_are_escaped():
    tags = _tags(to_html(table_element(_table(EVIL), [], caption=f'"{EVIL}')))
    assert tags == _tags(to_html(table_element(_table("text"), [], caption="text")))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("57.9 ± 3.4", "57.9"),
        ("-5.6 (-7.2 to -3.9)", "-5.6"),
        ("+9.7", "+9.7"),
        ("64,000", "64000"),
        ("–", "-1e99"),
        ("1e-07", "1e-07"),
    ],
)
def test_numbers_sort_by_their_value(text, key):
    assert f'data-order="{key}"' in to_html(table_element(_table(text), caption="c"))


def test_shades_follow_values_and_rows_after_those_with_details_are_plain():
    html = to_html(table_element(_table("0.0", "50.0", "100.0", "–"), ["a", "b", "c"], caption="c", heat=True))
    assert [f"heat{shade}" in html for shade in (0, 10, 20)] == [True] * 3
    assert html.count('href="#row=') == 3 and html.count('class="plain"') == 1


def test_markdown_keeps_no_html_and_no_script_links():
    (prose,) = block_elements(["a <b>x</b> [y](javascript:alert(1)) [z](records/a.json) [p](reported.md)"], "c")
    html = to_html(prose)
    assert "<b>" not in html and 'href="javascript' not in html and 'href="../records/a.json"' in html
    assert 'href="#board=reported"' in html
