"""The run folder: independent of its place, readable by SpeechBrain, and with clear errors."""

import shutil

import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.model import network
from atc_asr.model.run_folder import load_recognizer
from atc_asr.tokenizer.tokens import char_tokens, train_spm
from tests import tiny_network

TEXTS = ["AB CD", "DCBA ABC", "A B C D", "ABBA CD"]


@pytest.fixture(scope="module", params=["char", "spm"])
def saved(request, tmp_path_factory):
    tokens = char_tokens(TEXTS) if request.param == "char" else train_spm(TEXTS, 8)
    folder = tmp_path_factory.mktemp("saved") / "run"
    tiny_network.save_run(folder, tokens)
    return folder


@pytest.fixture
def run_dir(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def test_equal_weights_have_equal_files(saved, tmp_path):
    tiny_network.save_run(tmp_path, load_recognizer(saved, device="cpu").tokens)
    for name in ("model.ckpt", "normalizer.ckpt"):  # DVC compares their hashes
        assert (tmp_path / name).read_bytes() == (saved / name).read_bytes()


def test_a_moved_folder_gives_the_same(run_dir, tmp_path):
    wavs, lens = torch.randn(2, 8000), torch.tensor([1.0, 0.5])
    before = load_recognizer(run_dir, device="cpu").log_probs(wavs, lens)
    moved = tmp_path / "else where"
    shutil.move(run_dir, moved)
    after = load_recognizer(moved, device="cpu").log_probs(wavs, lens)
    assert torch.equal(before[0], after[0])
    assert after[1].tolist() == [13, 7]


def test_speechbrain_loads_it_and_transcribes_the_same(run_dir, tmp_path):
    from speechbrain.decoders import ctc_greedy_decode
    from speechbrain.inference.ASR import EncoderASR

    recognizer = load_recognizer(run_dir, device="cpu")
    seconds = torch.arange(2400) / 16000
    wavs = torch.cat([0.3 * torch.sin(2 * torch.pi * hertz * seconds) for hertz in (0, 300, 700, 1500, 2800, 0)])[None]
    log_probs, _ = recognizer.log_probs(wavs, torch.ones(1))
    ours = recognizer.tokens.decode(ctc_greedy_decode(log_probs, torch.ones(1), 0)[0])
    theirs = EncoderASR.from_hparams(source=str(run_dir), savedir=str(tmp_path / "saved"))
    texts, _ = theirs.transcribe_batch(wavs, torch.ones(1))
    torch.testing.assert_close(theirs.encode_batch(wavs, torch.ones(1)), log_probs)
    assert texts[0].strip() == ours
    assert ours


def test_duration_of_a_frame_and_sample_rate(run_dir):
    recognizer = load_recognizer(run_dir, device="cpu")
    assert (recognizer.frame_seconds, recognizer.sample_rate) == (pytest.approx(0.04), 16000)


@pytest.mark.parametrize("name", ["model.ckpt", "normalizer.ckpt"])
def test_an_incomplete_file_is_named(run_dir, name):
    path = run_dir / name
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=f"{name}: cannot be loaded"):
        load_recognizer(run_dir, device="cpu")


@pytest.mark.parametrize("name", ["model.ckpt", "hyperparams.yaml", "tokens.txt"])
def test_a_missing_file_is_named(run_dir, name):
    (run_dir / name).unlink()
    with pytest.raises(InputError, match=name):
        load_recognizer(run_dir, device="cpu")


def test_code_in_a_checkpoint_is_not_executed(run_dir, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"x": Evil()}, run_dir / "model.ckpt")
    with pytest.raises(InputError, match="not only weights"):
        load_recognizer(run_dir, device="cpu")
    assert not (tmp_path / "written").exists()


def test_tokens_of_another_run_are_refused(run_dir):
    char_tokens(["ABCDEFGHIJKLMNOP"]).save(run_dir)
    with pytest.raises(InputError, match=r"outputs, tokens\.txt has 17 tokens|spm\.model: its pieces"):
        load_recognizer(run_dir, device="cpu")


def test_an_unfilled_hparams_file_is_replaced_by_the_run_folders(run_dir):
    loaded = load_recognizer(run_dir, device="cpu", hparams_file=network.HPARAMS_FILE)
    wavs, lens = torch.randn(1, 8000), torch.ones(1)
    assert torch.equal(loaded.log_probs(wavs, lens)[0], load_recognizer(run_dir, device="cpu").log_probs(wavs, lens)[0])


def test_hyperparams_are_executed_only_with_trust(run_dir, tmp_path):
    path, written = run_dir / "hyperparams.yaml", tmp_path / "written"
    path.write_text(f"x: !apply:os.mkdir [{written}]\n" + path.read_text())
    wavs, lens = torch.randn(1, 8000), torch.ones(1)
    read = load_recognizer(run_dir, device="cpu").log_probs(wavs, lens)[0]
    assert not written.exists()
    executed = load_recognizer(run_dir, device="cpu", trust=True).log_probs(wavs, lens)[0]
    assert written.exists()
    assert torch.equal(read, executed)


def test_another_network_needs_trust(run_dir):
    path = run_dir / "hyperparams.yaml"
    path.write_text(path.read_text().replace("update_until_epoch: 1", "update_until_epoch: 2"))
    with pytest.raises(InputError, match="normalizer: is not that of this project's network; only --trust"):
        load_recognizer(run_dir, device="cpu")
    load_recognizer(run_dir, device="cpu", trust=True)
