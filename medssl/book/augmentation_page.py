"""What the page of the augmentations shows: policies with their reasons, views, and labels."""

import inspect
import re
from dataclasses import fields

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown

from medssl import data, encoders
from medssl.augmentation import Policy, augment, ct, mri, policy_for, ultrasound, xray
from medssl.augmentation.alone import alone
from medssl.book.families_figures import MODALITIES
from medssl.book.results import Results
from medssl.book.wording import interval, show_table
from medssl.evaluation.preservation import PLAIN, label_preservation
from medssl.training import Standardisation, TransferConfig, transfer

__all__ = [
    "field_meanings", "gallery", "policy_table", "preservation", "preservation_table", "reasons",
    "report_preservation", "window_rows",
]  # fmt: skip

MODULES = {"xray": xray, "ct": ct, "mri": mri, "ultrasound": ultrasound}
PURPOSES = {"pretrain": "pretraining", "fine_tune": "fine-tuning"}


def field_meanings() -> dict[str, str]:
    """Return what the docstring of a policy says of each of its fields.

    Examples
    --------
    >>> field_meanings()["gamma"]
    'Values become x ** exp(u * gamma).'
    """
    text = inspect.getdoc(Policy)
    found = {}
    for names, body in re.findall(r"^([a-z_, ]+) : \w+\n((?:    .+\n?)+)", text, re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), re.sub(r"\s+", " ", body).strip())
    return found


def policy_table() -> HTML:
    """Return every field of a policy with its meaning and its value for each modality and purpose."""
    meaning, off, rows = field_meanings(), Policy(), []
    for field in fields(Policy):
        row = {"transform": field.name.replace("_", " "), "what it does": meaning[field.name]}
        for modality, label in MODALITIES.items():
            pair = [getattr(policy_for(modality, purpose), field.name) for purpose in PURPOSES]
            off_value = getattr(off, field.name)
            row[label] = " / ".join("–" if value == off_value else _written(value) for value in pair)
        rows.append(row)
    return show_table(pd.DataFrame(rows))


def _written(value) -> str:
    return "yes" if value is True else f"{value:g}"


def reasons() -> Markdown:
    """Return the reasons of each modality's policy, as its file states them."""
    parts = []
    for modality, label in MODALITIES.items():
        text = " ".join(inspect.getdoc(MODULES[modality]).split()).replace("`", "")
        parts.append(
            f"**{label}** (`medssl/augmentation/{modality}.py`). {text.split(':', 1)[1].strip().capitalize()}"
        )
    return Markdown("\n\n".join(parts))


def gallery(modality: str, views: int, size: int, seed: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Return rows of views of one generated image: each transform of the pretraining policy alone, then all.

    Examples
    --------
    >>> list(gallery("ct", 2, 16, 0))[-1]
    'all, for\\nfine-tuning'
    """
    image = data.load(f"phantom_{modality}", n=1, size=size, seed=seed, difficulty=0.2).images
    pixels = torch.from_numpy(image).float()[:, None] / 255  # [1, 1, size, size]
    policies = {
        name.replace("_", "\n"): part for name, part in alone(policy_for(modality, "pretrain")).items()
    }
    policies["all, for\npretraining"] = policy_for(modality, "pretrain")
    policies["all, for\nfine-tuning"] = policy_for(modality, "fine_tune")
    rows = {}
    for name, policy in policies.items():
        generator = torch.Generator().manual_seed(seed)
        seen = augment(pixels.repeat(views, 1, 1, 1), policy, generator)[:, 0].numpy()
        titles = ["" if rows else "image", *["" if rows else "view"] * views]
        rows[name] = list(zip(titles, [pixels[0, 0].numpy(), *seen], strict=True))
    return rows


def window_rows(views: int, size: int, seed: int) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Return views of a generated CT by contrast of its window, and by windows of its Hounsfield units.

    The generated images come windowed; their units are taken as linear between the ends of that window, and
    an air-filled bowel or a bone beyond them is lost, so the second row uses a narrower window inside it.
    """
    image = data.load("phantom_ct", n=1, size=size, seed=seed, difficulty=0.2).images
    pixels = torch.from_numpy(image).float()[:, None].repeat(views, 1, 1, 1) / 255
    units = (pixels - 0.5) * 400 + 40  # Hounsfield units of a window of 400 around 40
    part = alone(policy_for("ct", "pretrain"))
    policy = Policy(contrast=part["contrast"].contrast, brightness=part["brightness"].brightness)
    generator = torch.Generator().manual_seed(seed)
    after = augment(pixels, policy, generator)[:, 0].numpy()
    moved = ct.window_jitter(units, 40, 250, policy, generator)[:, 0].numpy()
    first, plain = (
        pixels[0, 0].numpy(),
        ct.window_jitter(units[:1], 40, 250, Policy(), generator)[0, 0].numpy(),
    )
    titles = ["as it is", *["view"] * views]
    return {
        "contrast and\nbrightness": list(zip(titles, [first, *after], strict=True)),
        "the window\nitself": list(zip(titles, [plain, *moved], strict=True)),
    }


def preservation(
    images: int, steps: int, views: int, repeats: int, seed: int, parts: bool = True
) -> pd.DataFrame:
    """Train a small classifier on generated images of each modality and score it on plain images and views.

    Returns
    -------
    DataFrame
        The columns of `medssl.evaluation.preservation.label_preservation` with `modality`; the policies
        are "fine_tune", "pretrain" and, with `parts`, each transform of the latter alone.
    """
    return pd.concat(
        [_preserved(name, images, steps, views, repeats, seed, parts) for name in MODALITIES],
        ignore_index=True,
    )


def _preserved(modality, images, steps, views, repeats, seed, parts):
    source, options = f"phantom_{modality}", {"size": 28, "seed": seed, "difficulty": 0.2}
    train = data.load(source, "train", n=images, **options)
    test = data.load(source, "test", n=images, **options)
    torch.manual_seed(seed)
    done = transfer(
        train.images, train.labels, len(train.classes), encoders.build("small_cnn"), modality,
        Standardisation.of(train.images), TransferConfig(least_steps=steps, most_steps=steps), seed=seed,
        device="cpu",
    )  # fmt: skip
    policies = {purpose: policy_for(modality, purpose) for purpose in ("fine_tune", "pretrain")}
    policies |= alone(policies["pretrain"]) if parts else {}
    found = label_preservation(
        done.predict, test.images, test.labels, modality,
        policies=policies, groups=test.groups, views=views, repeats=repeats, seed=seed,
    )  # fmt: skip
    return found.assign(modality=modality)


def preservation_table(table: pd.DataFrame) -> HTML:
    """Return the check as a reader wants it, one row a modality and policy."""
    names = {PLAIN: "none", "fine_tune": "fine-tuning, all", "pretrain": "pretraining, all"}
    changes = [
        "" if row.policy == PLAIN else interval(row.change, row.change_low, row.change_high, digits=3)
        for row in table.itertuples()
    ]
    shown = {
        "modality": table["modality"].map(MODALITIES),
        "augmentation": [names.get(name, name.replace("_", " ") + " alone") for name in table["policy"]],
        "AUC": [f"{row.auc:.3f} ({row.auc_low:.3f} to {row.auc_high:.3f})" for row in table.itertuples()],
        "change": changes,
    }
    return show_table(pd.DataFrame(shown))


def report_preservation(results: Results, table: pd.DataFrame, *, cell: str) -> None:
    """Add AUC of plain images and changes under both policies for each modality, and the worst transform."""
    by = table.set_index(["modality", "policy"])
    for modality in MODALITIES:
        plain = by.loc[(modality, PLAIN)]
        text = f"{plain.auc:.3f} (95% CI {plain.auc_low:.3f} to {plain.auc_high:.3f})"
        results.add(f"{modality}_plain", float(plain.auc), text=text, cell=cell)
        for purpose in PURPOSES:
            row = by.loc[(modality, purpose)]
            words = interval(row.change, row.change_low, row.change_high, digits=3)
            results.add(f"{modality}_{purpose}", float(row.change), text=words, cell=cell)
    parts = table[~table["policy"].isin([PLAIN, *PURPOSES])]
    if len(parts):
        worst = parts.loc[parts["change"].idxmin()]
        name = f"{worst['policy'].replace('_', ' ')} in {MODALITIES[worst['modality']]}"
        results.add("worst", float(worst["change"]), text=name, cell=cell)
        words = interval(worst["change"], worst["change_low"], worst["change_high"], digits=3)
        results.add("worst_change", float(worst["change"]), text=words, cell=cell)
    for purpose in PURPOSES:
        fallen = int((table.loc[table["policy"] == purpose, "change_high"] < 0).sum())
        results.add(f"fallen_{purpose}", fallen, text=f"{fallen}" if fallen else "none", cell=cell)
    results.add("modalities", len(MODALITIES), cell=cell)
