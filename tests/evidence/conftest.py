"""Rows of evidence made by hand, and copies of the shipped table that a test may damage."""

import pandas as pd
import pytest

from medssl.evidence.fields import COLUMNS, FIELDS
from medssl.evidence.tables import read_rows, table_path, typed

PLAIN = {
    "effect_id": "E0001", "cluster_id": "demo2020", "study_id": "demo2020", "first_author": "Demo",
    "year": "2020", "title": "A demonstration", "modality": "xray", "task_type": "classification",
    "task": "pneumonia", "ssl_method": "SimCLR", "ssl_family": "contrastive", "architecture": "ResNet18",
    "pretrain_data": "Demo set", "n_pretrain_unlabelled": "1000", "init_before_ssl": "random",
    "downstream_data": "Demo", "label_fraction": "0.1", "n_labelled": "50", "metric": "AUC",
    "baseline_type": "random", "baseline_value": "0.70", "ssl_value": "0.80", "public_data": "yes",
    "source": "made up", "source_locator": "Table 1", "confidence": "high", "extraction": "printed",
    "adaptation": "both_finetuned", "supervision": "self", "pool": "primary",
}  # fmt: skip


@pytest.fixture(scope="session")
def texts():
    """Return a function that makes rows of text: each argument changes some cells of a plain row."""

    def make(*changes: dict) -> pd.DataFrame:
        rows = [PLAIN | {"effect_id": f"E{i + 1:04d}"} | change for i, change in enumerate(changes or ({},))]
        table = pd.DataFrame(rows, columns=COLUMNS, dtype=str).fillna("")
        return table.set_axis(pd.RangeIndex(2, len(table) + 2, name="line"))

    return make


@pytest.fixture(scope="session")
def rows(texts):
    """Return a function like `texts` whose numbers are numbers, as `published` returns them."""
    return lambda *changes: typed(texts(*changes)).reset_index(drop=True)


@pytest.fixture(scope="session")
def shipped():
    """The shipped table as text; a test changes a copy."""
    return read_rows(table_path("published_effects"))


@pytest.fixture
def copied(tmp_path):
    """A copy of the shipped table in a folder of its own."""
    path = tmp_path / "effects.csv"
    path.write_bytes(table_path("published_effects").read_bytes())
    return path


assert set(PLAIN) <= {field.name for field in FIELDS}
