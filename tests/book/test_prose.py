"""Numbers in narrative pages come from results, never from a keyboard."""

import pytest

from medssl.book.prose import typed_numbers

ALLOWED = {
    "result": "The gain is {result}`gain_at_10`, from {result}`xray/study:n_1`.",
    "citation": "As found earlier {cite:p}`vanberlo2024`, and {cite}`a2020,b2021`.",
    "fact": "Images of {fact}`28 x 28` pixels.",
    "inline code": "Set `epochs=20` or ``a ` 3``.",
    "inline mathematics": "With $n = 10$ labels and $\\tau^2$.",
    "display mathematics": "$$\nx = 3\n$$",
    "link": "See [section 3](methods.md#part-2) and <https://example.org/2024>.",
    "link definition": "[1]: https://example.org/1",
    "heading": "## 3. What 10 labels buy",
    "label": "(xray-2)=\nText.",
    "list marker": "1. first\n2. second",
    "name": "T1-weighted MRI, 3-D volumes, I2 and v2.",
    "comment": "<!-- checked in 2024 -->\nText.",
    "excused line": "Founded in 1999. <!-- fact: the year of foundation -->",
    "front matter": "---\nversion: 3\n---\nText.",
    "code block": "```python\nx = 3\n```",
    "nested code block": "````{note}\nText.\n```python\nx = 3\n```\nMore.\n````",
    "mathematics directive": "```{math}\n:label: eq-1\nx = 3\n```",
    "directive option": "```{note}\n:name: note-3\nText.\n```",
    "figure card": "```{figure-card} xray-bubble-2\n```",
}
REFUSED = {
    "decimal": ("Text.\nThe gain was 0.03 in AUC.", 2, "0.03"),
    "percentage": ("A rise of 12%.", 1, "12%"),
    "negative": ("It fell by -3 points.", 1, "-3"),
    "thousands": ("With 1,204 images.", 1, "1,204"),
    "unit": ("At 28px.", 1, "28"),
    "inside an admonition": ("```{note}\n:class: tip\nOnly 3 runs.\n```", 3, "3"),
    "inside a colon fence": (":::{tip}\nOnly 3 runs.\n:::", 2, "3"),
    "admonition title": ("```{admonition} The 3 rules\nText.\n```", 1, "3"),
    "table": ("| a | b |\n|---|---|\n| x | 0.5 |", 3, "0.5"),
    "after mathematics": ("Costs $x$ and 5 more than $y$.", 1, "5"),
    "after a code block": ("```python\nx = 3\n```\nThen 4.", 4, "4"),
    "after an admonition": ("```{note}\nText.\n```\nThen 4.", 4, "4"),
    "after two nested directives": ("::::{tip}\n:::{note}\nText.\n:::\n::::\nThen 4.", 6, "4"),
    "year": ("Since 2020 the field grew.", 1, "2020"),
    "in emphasis": ("It is **7** times.", 1, "7"),
}


@pytest.mark.parametrize("text", ALLOWED.values(), ids=ALLOWED)
def test_what_is_no_typed_number_passes(text):
    """Roles, citations, links, mathematics, code, headings and marked facts may hold digits."""
    assert typed_numbers(text) == []


@pytest.mark.parametrize(("text", "line", "number"), REFUSED.values(), ids=REFUSED)
def test_a_number_in_prose_is_found_with_its_line(text, line, number):
    """A digit in prose is reported once, with the line on which it stands."""
    assert [(each.line, each.number) for each in typed_numbers(text)] == [(line, number)]


def test_the_excuse_covers_its_own_line_only():
    """`<!-- fact -->` excuses one line, not its neighbours."""
    found = typed_numbers("In 1999. <!-- fact -->\nIn 2001.")
    assert [each.line for each in found] == [2]
