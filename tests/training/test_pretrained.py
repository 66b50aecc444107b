"""SpeechBrain's pretrained folders, built here with SpeechBrain's classes in the published layouts: our network has
the outputs of their modules, and no code of theirs runs."""

import json

import pytest
import torch

from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES
from atc_asr.model.plain_hparams import PlainHparams
from atc_asr.tokenizer.tokens import char_tokens, train_spm
from atc_asr.training import pretrained, training
from atc_asr.training.load_pretrained import load_pretrained
from tests import tiny_network
from tests.pretrained_folder import LAYOUTS, build

TEXTS = ["AB CD", "DCBA ABC", "A B C D", "ABBA CD"]


@pytest.fixture(scope="module")
def tokens():
    return train_spm(TEXTS, 10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tokens):
    """layout -> (folder, SpeechBrain's modules)."""
    root = tmp_path_factory.mktemp("pretrained")
    return {layout: (root / layout, build(root / layout, layout, tokens=tokens)) for layout in LAYOUTS}


@pytest.fixture
def copied(folders, tmp_path):
    """A pretrained folder that a test may damage."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in folders["conformersmall"][0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def start(folder, tokens):
    """Our network of the same architecture with the weights of a folder, and the numbers of the loaded ones."""
    source = pretrained.load(folder)
    hparams = tiny_network.build(len(tokens), **source.architecture)
    stats = load_pretrained(
        source.state, hparams.model, head=pretrained.HEAD, source_symbols=source.symbols, target_symbols=tokens.symbols
    )
    hparams.normalizer._load_statistics_dict(source.statistics)
    return hparams, stats


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_encoder_has_the_outputs_of_the_sources_modules(folders, tokens, layout):
    folder, theirs = folders[layout]
    hparams, stats = start(folder, tokens)
    wavs, lens = torch.randn(2, 12000) * 0.1, torch.ones(2)
    hparams.model.eval()
    theirs["CNN"].eval()
    theirs["Transformer"].eval()
    normalizer = theirs[LAYOUTS[layout][1]["normalizer"]].eval()
    with torch.no_grad():
        wanted = theirs["Transformer"].encode(theirs["CNN"](normalizer(theirs["compute_features"](wavs), lens)), lens)
        features = hparams.normalizer(hparams.compute_features(wavs), lens, epoch=9)
        got, _ = hparams.conformer(hparams.front_end(features), lens)
        assert wanted.std() > 0.1
        torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)
        if layout == "streaming":  # its CTC head has a projection as input, not the encoder
            assert stats["tokens_loaded"] == 0
        else:
            assert stats["tokens_loaded"] == len(tokens)
            torch.testing.assert_close(hparams.ctc_head(got), theirs["ctc_lin"](wanted), atol=1e-5, rtol=0)


def test_loaded_new_and_ignored_parameters_are_counted(folders, tokens):
    folder, theirs = folders["conformersmall"]
    _, stats = start(folder, tokens)

    def size(*names):
        return sum(weight.numel() for name in names for weight in theirs[name].parameters())

    encoder = sum(
        weight.numel()
        for name, weight in theirs["Transformer"].named_parameters()
        if name.startswith(("enc", "custom_src"))
    )
    assert stats["parameters_loaded"] == size("CNN", "ctc_lin") + encoder
    assert (stats["parameters_new"], stats["loaded_fraction"]) == (0, 1.0)
    assert stats["parameters_ignored"] == size("seq_lin", "Transformer") - encoder
    assert stats["parameters_loaded"] + stats["parameters_ignored"] == size("asr_model")


def test_rows_of_other_tokens_keep_their_initial_values(folders):
    folder, theirs = folders["conformersmall"]
    tokens = char_tokens(["AB XYZ"])
    hparams, stats = start(folder, tokens)
    assert 0 < stats["tokens_loaded"] < len(tokens)
    assert stats["parameters_new"] == (len(tokens) - stats["tokens_loaded"]) * 17
    row = pretrained.load(folder).symbols.index("A")
    assert torch.equal(hparams.ctc_head.w.weight[tokens.symbols.index("A")], theirs["ctc_lin"].w.weight[row])


def test_a_training_starts_from_it(folders, config, changed, tmp_path):
    folder, _ = folders["loquacious"]
    architecture = dict(pretrained.read_layout(folder).architecture)
    config = changed(config, model=architecture, train={"init_from": str(folder), "epochs": 1})
    result = training.train(config, tmp_path / "run")
    assert result.stats["load_pretrained"]["tensors_loaded"] > 50
    assert result.stats["load_pretrained"]["loaded_fraction"] > 0.9
    json.dumps(result.stats)


def test_a_different_architecture_is_refused(folders, config, changed, tmp_path):
    folder, _ = folders["conformer"]
    wanted = r"model\.n_fft: got 400, wanted 512; .*model\.num_layers: got 1, wanted 2.*"
    with pytest.raises(InputError, match=wanted) as error:
        training.train(changed(config, train={"init_from": str(folder)}), tmp_path / "run")
    assert f"as in train.init_from {folder}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("encoder_module: conformer", "encoder_module: transformer", "encoder_module: got 'transformer'"),
        ("causal: False", "causal: True", "TransformerASR.causal: got True, wanted False"),
        ("    causal: False\n", "", "TransformerASR.causal: got None, wanted False"),
        ("num_layers_per_block: 1", "num_layers_per_block: 3", "num_layers_per_block: got 3, wanted 1"),
        ("strides: (2, 2)", "strides: (1, 2)", r"strides: got \[1, 2\], wanted \[2, 1\] or \[2, 2\], then 1"),
        ("residuals: (False, False)", "residuals: (True, False)", "ConvolutionFrontEnd.residuals: got"),
        ("sample_rate: 16000", "sample_rate: 8000", "Fbank.sample_rate: got 8000, wanted 16000"),
        ("norm_type: global", "norm_type: sentence", "norm_type: got 'sentence', wanted 'global'"),
        ("    kernel_size: 7", "    conformer_activation: !name:torch.nn.ELU", "got 'ELU', wanted Swish or GELU"),
        ("n_mels: 20", "n_mels: [20", "is not valid YAML"),
        ("d_model: 16", "d_model: !ref <d_ffn> // 2", "model.d_model: .* cannot be read without running the file"),
        ("d_ffn: 32", "d_ffn: !ref <d_ffn>", "d_ffn refers to itself"),
        ("    kernel_size: 7", "    kernels: 7", "TransformerASR.kernels: is no argument"),
        ("[!ref <CNN>, !ref <Transformer>,", "[!ref <CNN>, ", "has no encoder, wanted a TransformerASR"),
        ("[!ref <CNN>,", "[", "has no ModuleList with the front-end"),
        ("ConvolutionFrontEnd\n", "Other\n", "has no ConvolutionFrontEnd, wanted one"),
        ("asr: !ref", "other: !ref", "has no other.ckpt or model.ckpt or asr.ckpt") ,
    ],
)  # fmt: skip
def test_networks_that_ours_cannot_be_are_refused(copied, old, new, message):
    path = copied / "hyperparams.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if "other: !ref" in new:
        (copied / "asr.ckpt").unlink()
    with pytest.raises(InputError, match=message) as error:
        pretrained.read_layout(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["asr.ckpt", "normalizer.ckpt", "tokenizer.ckpt"])
def test_missing_and_incomplete_files_are_named(copied, name):
    path = copied / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=f"{name}: (cannot be|has 5 tokens)") as error:
        pretrained.load(copied)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(InputError, match=f"has no .*{name}"):
        pretrained.load(copied)


def test_tokens_of_another_model_are_refused(copied):
    (copied / "tokenizer.ckpt").write_bytes(train_spm(TEXTS, 9).spm_model)
    with pytest.raises(InputError, match=r"tokenizer\.ckpt: has 9 tokens, the CTC head in asr\.ckpt has 10 rows"):
        pretrained.load(copied)


def test_a_checkpoint_without_an_encoder_is_refused(copied):
    torch.save({"0.x": torch.zeros(1)}, copied / "asr.ckpt")
    with pytest.raises(InputError, match=r"asr\.ckpt: has no tensor of an encoder"):
        pretrained.load(copied)


def test_statistics_of_other_features_are_refused(copied):
    torch.save({"count": 1, "glob_mean": torch.zeros(40), "glob_std": torch.ones(40)}, copied / "normalizer.ckpt")
    with pytest.raises(InputError, match=r"normalizer\.ckpt: glob_mean: got shape \(40,\), wanted \(20,\)"):
        pretrained.load(copied)


def test_no_code_in_a_folder_is_executed(copied, tmp_path):
    mark = tmp_path / "run"
    path = copied / "hyperparams.yaml"
    path.write_text(f"evil: !apply:os.mkdir ['{mark}']\nworse: !include:/etc/passwd\n" + path.read_text())
    assert pretrained.load(copied).symbols

    class Evil:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    torch.save({"x": Evil()}, copied / "asr.ckpt")
    with pytest.raises(InputError, match="not only weights"):
        pretrained.load(copied)
    path.write_text("a: !!python/object/apply:os.mkdir ['x']\n")
    with pytest.raises(InputError, match="is not valid YAML"):
        PlainHparams(path)
    assert not mark.exists()


def test_a_folder_without_network_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"hyperparams\.yaml: no such file, wanted a run folder or a SpeechBrain"):
        pretrained.read_layout(tmp_path)


def test_a_run_folder_is_read_in_the_same_way(tmp_path):
    tokens = char_tokens(TEXTS)
    tiny_network.save_run(tmp_path, tokens, activation="gelu")
    source = pretrained.load(tmp_path)
    assert tiny_network.MODEL.model_copy(update=dict(source.architecture)).activation == "gelu"
    assert source.architecture | {"dropout": 0.1, "activation": "swish"} == tiny_network.MODEL.model_dump()
    assert source.symbols == tokens.symbols
    _, stats = start(tmp_path, tokens)
    assert (stats["loaded_fraction"], stats["tensors_ignored"]) == (1.0, 0)


def test_the_fingerprint_depends_on_every_file(copied):
    prints = [pretrained.fingerprint(str(copied))]
    assert set(prints[0]) == {"hyperparams.yaml", "asr.ckpt", "normalizer.ckpt", "tokenizer.ckpt"}
    for path in sorted(copied.iterdir()):
        path.write_bytes(path.read_bytes() + b"\n")
        prints.append(pretrained.fingerprint(str(copied)))
    assert len({tuple(sorted(found.items())) for found in prints}) == 5


TOKEN = "hf_" + "s3cr3t" * 5


def test_a_hub_name_is_downloaded(copied, monkeypatch, tmp_path):
    import huggingface_hub

    asked = []

    def download(name, **settings):
        asked.append((name, settings))
        return str(copied)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLES[0], TOKEN)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert pretrained.locate("speechbrain/asr-conformer") == copied
    assert asked[0][0] == "speechbrain/asr-conformer"
    assert asked[0][1]["token"] == TOKEN
    assert "*.ckpt" in asked[0][1]["allow_patterns"]


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_failed_download_is_one_line_without_the_token(monkeypatch, tmp_path, token):
    import huggingface_hub

    def download(name, **settings):
        raise OSError(f"401 for {name}\nwith {settings['token']}")

    monkeypatch.chdir(tmp_path)
    for name in TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv(TOKEN_VARIABLES[1], token)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(
        InputError, match=r"train\.init_from a/b: is no local folder and cannot be downloaded from the Hub: OSError"
    ) as e:
        pretrained.locate("a/b")
    assert TOKEN not in str(e.value)
    assert "\n" not in str(e.value)
    assert ("HF_TOKEN" in str(e.value)) == (token is None)


def test_a_source_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="is no local folder and no Hub name"):
        pretrained.locate("nowhere")


def test_a_ctc_text_encoder_is_read(copied):
    from speechbrain.dataio.encoder import CTCTextEncoder

    encoder = CTCTextEncoder()
    encoder.insert_blank(blank_label="<blank>", index=0)
    encoder.update_from_iterable("ABCDEFGH ", sequence_input=False)
    encoder.save(copied / "tokenizer.ckpt")
    path = copied / "hyperparams.yaml"
    path.write_text(
        path.read_text().replace("sentencepiece.SentencePieceProcessor", "speechbrain.dataio.encoder.CTCTextEncoder")
    )
    assert pretrained.load(copied).symbols == ("<blank>", *"ABCDEFGH", char_tokens([" A"]).symbols[-1])
