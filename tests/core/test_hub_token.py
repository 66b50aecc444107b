"""Where the Hub token is read from, and tokens that are refused without being shown."""

import pytest

from atc_asr.core import hub_token
from atc_asr.core.errors import InputError

TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture(autouse=True)
def no_token(monkeypatch, tmp_path):
    """Run without the token and the `.env` file of the user who runs the tests."""
    for name in hub_token.TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("rest", ["\r\nX-Evil: 1", " x", "é", "\x1b[2J"])
@pytest.mark.parametrize("origin", ["HUGGINGFACE_TOKEN", ".env"])
def test_a_token_that_no_header_can_have_is_refused_by_its_name(monkeypatch, tmp_path, origin, rest):
    if origin == ".env":
        (tmp_path / ".env").write_text(f'HUGGINGFACE_TOKEN="{TOKEN}{rest}"\n', encoding="utf-8", newline="")
    else:
        monkeypatch.setenv(origin, TOKEN + rest)
    with pytest.raises(InputError, match=r"^HUGGINGFACE_TOKEN: ") as error:
        hub_token.read_token()
    assert TOKEN not in str(error.value)


def test_an_unreadable_env_file_is_named_and_not_shown(tmp_path):
    (tmp_path / ".env").write_bytes(f"HF_TOKEN={TOKEN}ÿ".encode("latin-1"))
    with pytest.raises(InputError, match=r"\.env: is not UTF-8 text") as error:
        hub_token.read_token()
    assert TOKEN not in str(error.value)


@pytest.mark.parametrize("copy", ["exps/tmp1", "exps/standard/abc/project"])
def test_dvcs_copies_of_the_project_use_its_env_file(monkeypatch, tmp_path, copy):
    folder = tmp_path / ".dvc" / "tmp" / copy
    folder.mkdir(parents=True)
    (tmp_path / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    monkeypatch.chdir(folder)
    assert hub_token.read_token() == TOKEN
    (folder / ".env").write_text("HF_TOKEN=own\n")
    assert hub_token.read_token() == "own"
