"""A question with three menus and one answer: works without a network, and as a table without scripts."""

import itertools
import json
from html import escape

import pandas as pd
from IPython.display import HTML

from medssl.synthesis.expect import COMPARATORS, MODALITIES, expect

__all__ = ["finder"]

RATIOS = {"any ratio": None, "1 : 1000": 0.001, "1 : 100": 0.01, "1 : 10": 0.1, "1 : 1": 1.0}
METRICS = {"AUC": "classification (AUC)", "Dice": "segmentation (Dice)"}
MENUS = {
    "modality": MODALITIES,
    "comparator": COMPARATORS,
    "metric": METRICS,
    "ratio": {name: name for name in RATIOS},
}
TITLES = {
    "modality": "Modality",
    "comparator": "Compared with",
    "metric": "Task",
    "ratio": "Labelled : unlabelled",
}
SCRIPT = """
(() => {
  const box = document.getElementById("medssl-finder");
  const answers = JSON.parse(box.querySelector("script[type='application/json']").textContent);
  const menus = [...box.querySelectorAll("select")];
  const show = () => {
    box.querySelector("output").textContent = answers[menus.map(menu => menu.value).join("|")];
  };
  menus.forEach(menu => menu.addEventListener("change", show));
  box.querySelector("form").hidden = false;
  show();
})();
"""


def finder() -> HTML:
    """Return the menus, their answers, and the table of all answers for readers without scripts.

    Examples
    --------
    >>> page = finder().data
    >>> page.count("<select"), "https://" in page
    (4, False)
    """
    answers = {
        "|".join((*question, name)): expect(question[0], question[1], metric=question[2], ratio=ratio)
        for question in itertools.product(MODALITIES, COMPARATORS, METRICS)
        for name, ratio in RATIOS.items()
    }
    texts = {key: found.text for key, found in answers.items()}
    data = json.dumps(texts, ensure_ascii=False).replace("</", "<\\/")
    menus = "".join(_menu(name) for name in MENUS)
    form = f'<form hidden>{menus}<output aria-live="polite"></output></form>'
    scripts = f'<script type="application/json">{data}</script><script>{SCRIPT}</script>'
    return HTML(
        f'<div id="medssl-finder" class="medssl-finder">{form}{scripts}</div>'
        f"<details><summary>All answers as a table</summary>{_table(answers)}</details>"
    )


def _menu(name: str) -> str:
    pairs = [(escape(key), escape(words)) for key, words in MENUS[name].items()]
    options = "".join(f'<option value="{key}">{words}</option>' for key, words in pairs)
    return f'<label><span>{TITLES[name]}</span> <select name="{name}">{options}</select></label>'


def _table(answers: dict) -> str:
    rows = [
        {
            "modality": MODALITIES[found.modality],
            "compared with": COMPARATORS[found.comparator],
            "task": METRICS[found.metric],
            "ratio": key.rsplit("|", 1)[1],
            "gain": found.estimate,
            "95% from": found.ci_low,
            "95% to": found.ci_high,
            "P(new study gains)": found.p_gain,
            "effects": found.effects,
            "clusters": found.clusters,
            "grade": found.grade.name,
            "from": found.source,
        }
        for key, found in answers.items() if found.source != "nothing"
    ]  # fmt: skip
    text = pd.DataFrame(rows).to_html(
        index=False, border=0, justify="left", float_format=lambda value: f"{value:.3f}", na_rep=""
    )
    return f'<div class="cell_output">{text}</div>'
