"""The section `corpora`: accepted and refused values, and what is used of a corpus."""

import pytest

from atc_asr.core.config import make_section
from atc_asr.core.corpora import is_used, shares
from atc_asr.core.errors import InputError
from atc_asr.core.params import CorporaParams


def corpora(**values):
    """Corpora of (weight, role)."""
    content = {name: {"weight": weight, "role": role, "export": {}} for name, (weight, role) in values.items()}
    return make_section(CorporaParams, content, "params.yaml: corpora").by_name


def test_shares_are_weights_of_trained_corpora():
    found = corpora(us=(3, "train"), icao=(0.9, "train"), digits=(0.1, "guard"), off=(0, "train"), other=(5, "test"))
    assert shares(found) == pytest.approx({"us": 0.75, "icao": 0.225, "digits": 0.025})


@pytest.mark.parametrize(
    ("weight", "role", "splits"),
    [
        (1, "train", "train valid test"),
        (1, "guard", "train valid test"),
        (0, "guard", "valid test"),
        (0, "train", "test"),
        (1, "test", "test"),
    ],
)
def test_what_is_used_of_a_corpus(weight, role, splits):
    one = corpora(other=(1, "train"), one=(weight, role))["one"]
    assert " ".join(split for split in ("train", "valid", "test") if is_used(one, split)) == splits


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"us": {"weight": -1, "role": "train", "export": {}}}, r"^corpora\.us\.weight: got -1, wanted float >= 0 \("),
        ({"us": {"weight": 1, "role": "dev", "export": {}}}, r"^corpora\.us\.role: got 'dev', wanted one of train, te"),
        ({"us": {"weight": 1, "role": "train", "export": 3}}, r"^corpora\.us\.export: got 3, wanted mapping \("),
        ({"us": {"weight": 1, "role": "train"}}, r"^corpora\.us\.export: missing, wanted mapping"),
        ({"us": {"weight": 1, "rolle": "train", "export": {}}}, r"^corpora\.us\.rolle: unknown key; did you mean role"),
        ({"us": 3}, r"^corpora\.us: got 3, wanted a section with keys"),
        ({"../us": {}}, r"^corpora: got the name '\.\./us', wanted letters"),
        ({"us": {"weight": 0, "role": "train", "export": {}}}, "^corpora: no corpus of role train or guard has a weig"),
        ({"us": {"weight": 1, "role": "test", "export": {}}}, "^corpora: no corpus of role train or guard has a weigh"),
    ],
)
def test_corpora_that_cannot_be_used(content, message):
    with pytest.raises(InputError, match=message):
        make_section(CorporaParams, content, "params.yaml: corpora")


def test_a_name_may_end_like_a_limit():
    assert set(corpora(snr_low=(1, "train"))) == {"snr_low"}
