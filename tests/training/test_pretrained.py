"""SpeechBrain's pretrained folders: built here in their layouts with SpeechBrain's own classes, read without running
them, and heard to answer as their own modules do."""

import json
from dataclasses import replace

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from atc_asr.core.errors import InputError
from atc_asr.core.hub_token import TOKEN_VARIABLES
from atc_asr.model import network
from atc_asr.tokenizer.tokens import char_tokens, train_spm
from atc_asr.training import pretrained, training
from atc_asr.training.plain_hparams import PlainHparams

TEXTS = ["AB CD", "DCBA ABC", "A B C D", "ABBA CD"]
SHARED = """
sample_rate: 16000
n_fft: {n_fft}
n_mels: 20
win_length: {win_length}
d_model: 16
nhead: 2
num_encoder_layers: 2
num_decoder_layers: {num_decoder_layers}
d_ffn: 32
transformer_dropout: 0.1
activation: !name:torch.nn.GELU
output_neurons: {units}
blank_index: 0
attention_type: {attention_type}

tokenizer: !new:{tokenizer}
{normalizer}: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    update_until_epoch: 4
compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: !ref <sample_rate>
    n_fft: !ref <n_fft>
    n_mels: !ref <n_mels>
    win_length: !ref <win_length>
CNN: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: (8, 10, 20)
    num_blocks: {num_blocks}
    num_layers_per_block: 1
    out_channels: {channels}
    kernel_sizes: {kernels}
    strides: {strides}
    residuals: {residuals}
Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR # yamllint disable-line
    input_size: {input_size}
    tgt_vocab: !ref <output_neurons>
    d_model: !ref <d_model>
    nhead: !ref <nhead>
    num_encoder_layers: !ref <num_encoder_layers>
    num_decoder_layers: !ref <num_decoder_layers>
    d_ffn: !ref <d_ffn>
    dropout: !ref <transformer_dropout>
    activation: !ref <activation>
    {extra}
    encoder_module: conformer
    attention_type: !ref <attention_type>
    kernel_size: 7
    normalize_before: True
    causal: False
"""
ATTENTION = """
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <d_model>
    n_neurons: !ref <output_neurons>
seq_lin: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <d_model>
    n_neurons: !ref <output_neurons>
asr_model: !new:torch.nn.ModuleList
    - [!ref <CNN>, !ref <Transformer>, !ref <seq_lin>, !ref <ctc_lin>]
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        {normalizer}: !ref <{normalizer}>
        {file}: !ref <asr_model>
        tokenizer: !ref <tokenizer>
"""
TRANSDUCER = """
joint_dim: 24
enc: !new:speechbrain.lobes.models.transformer.TransformerASR.EncoderWrapper
    transformer: !ref <Transformer>
proj_enc: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <d_model>
    n_neurons: !ref <joint_dim>
    bias: False
proj_ctc: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <joint_dim>
    n_neurons: !ref <output_neurons>
dec: !new:speechbrain.nnet.RNN.LSTM
    input_shape: [null, null, !ref <output_neurons> - 1]
    hidden_size: 8
    num_layers: 1
model: !new:torch.nn.ModuleList
    - [!ref <CNN>, !ref <enc>, !ref <dec>, !ref <proj_enc>, !ref <proj_ctc>]
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        model: !ref <model>
        {normalizer}: !ref <{normalizer}>
        tokenizer: !ref <tokenizer>
"""
TWO_BLOCKS = {"num_blocks": 2, "channels": "(4, 3)", "kernels": "(3, 3)", "strides": "(2, 2)",
              "residuals": "(False, False)", "input_size": 15}  # fmt: skip
THREE_BLOCKS = {"num_blocks": 3, "channels": "(4, 4, 3)", "kernels": "(5, 5, 1)", "strides": "(2, 2, 1)",
                "residuals": "(False, False, False)", "input_size": 15}  # fmt: skip
PLAIN = {"n_fft": 400, "win_length": 25, "extra": "", "num_decoder_layers": 1, "normalizer": "normalizer"}
LAYOUTS = {  # in the manner of the published folder of this name
    "conformersmall": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "asr"}),
    "conformer": (ATTENTION, PLAIN | THREE_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "asr", "n_fft": 512,
                                                     "win_length": 32}),
    "rope": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RoPEMHA", "file": "model", "normalizer": "normalize"}),
    "streaming": (TRANSDUCER, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "num_decoder_layers": 0,
                                                    "normalizer": "normalize"}),
    "loquacious": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "model",
                                                    "extra": "conformer_activation: !ref <activation>"}),
}  # fmt: skip


def build(folder, layout, *, tokens):
    """A pretrained folder of random weights; returns its modules."""
    template, values = LAYOUTS[layout]
    kind = "sentencepiece.SentencePieceProcessor"
    text = (SHARED + template).format(units=len(tokens), tokenizer=kind, **values)
    torch.manual_seed(5)
    modules = load_hyperpyyaml(text)
    network_key = "asr_model" if template is ATTENTION else "model"
    for weight in modules[network_key].parameters():
        torch.nn.init.normal_(weight, std=0.2)
    statistics = {"count": 9, "glob_mean": torch.randn(20), "glob_std": torch.rand(20) + 0.5, "spk_dict_mean": {}}
    modules[values["normalizer"]]._load_statistics_dict(statistics)
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(text)
    torch.save(modules[network_key].state_dict(), folder / f"{values.get('file', 'model')}.ckpt")
    torch.save(statistics, folder / f"{values['normalizer']}.ckpt")
    (folder / "tokenizer.ckpt").write_bytes(tokens.spm_model)
    return modules


@pytest.fixture(scope="module")
def units():
    return train_spm(TEXTS, 10)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, units):
    """layout -> (folder, its own modules)."""
    root = tmp_path_factory.mktemp("pretrained")
    return {layout: (root / layout, build(root / layout, layout, tokens=units)) for layout in LAYOUTS}


@pytest.fixture
def copied(folders, tmp_path):
    """A pretrained folder that a test may damage."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in folders["conformersmall"][0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def matching(model, folder):
    """The section `model` that fits a source."""
    return replace(model, **pretrained.find(folder).architecture)


def start(setup, source, model=None):
    """The network after a load_pretrained, and the report."""
    setup = replace(setup, train=replace(setup.train, init_from=str(source)), model=model or setup.model)
    values = network.hparams_values(setup.model, setup.specaugment, len(setup.tokens))
    torch.manual_seed(1)
    hparams = network.build(network.fill_placeholders(setup.hparams_file, values), "test")
    return hparams, training.start_from(setup, hparams)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_encoder_answers_as_the_sources_own_modules(folders, setup, units, layout):
    folder, theirs = folders[layout]
    setup = replace(setup, tokens=units)
    hparams, report = start(setup, folder, matching(setup.model, folder))
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
        if layout == "streaming":  # its CTC head sees a projection, not the encoder
            assert report.rows_taken == 0
        else:
            assert report.rows_taken == len(units)
            torch.testing.assert_close(hparams.ctc_head(got), theirs["ctc_lin"](wanted), atol=1e-5, rtol=0)


def test_the_report_counts_parameters(folders, setup, units):
    folder, theirs = folders["conformersmall"]
    _, report = start(replace(setup, tokens=units), folder, matching(setup.model, folder))

    def size(*names):
        return sum(weight.numel() for name in names for weight in theirs[name].parameters())

    encoder = sum(
        weight.numel()
        for name, weight in theirs["Transformer"].named_parameters()
        if name.startswith(("enc", "custom_src"))
    )
    assert report.parameters_taken == size("CNN", "ctc_lin") + encoder
    assert (report.parameters_new, report.share) == (0, 1.0)
    assert report.parameters_ignored == size("seq_lin", "Transformer") - encoder
    assert report.parameters_taken + report.parameters_ignored == size("asr_model")


def test_other_units_start_with_a_fresh_head(folders, setup):
    folder, theirs = folders["conformersmall"]
    setup = replace(setup, tokens=char_tokens(["AB XYZ"]))
    hparams, report = start(setup, folder, matching(setup.model, folder))
    assert 0 < report.rows_taken < len(setup.tokens)
    assert report.parameters_new == (len(setup.tokens) - report.rows_taken) * 17
    numbers = pretrained.load(folder).symbols
    number = setup.tokens.symbols.index("A")
    assert torch.equal(hparams.ctc_head.w.weight[number], theirs["ctc_lin"].w.weight[numbers.index("A")])


def test_a_training_starts_from_it(folders, setup, tmp_path):
    folder, _ = folders["loquacious"]
    setup = replace(setup, model=matching(setup.model, folder))
    train = replace(setup.train, init_from=str(folder), epochs=1)
    outcome = training.train(replace(setup, train=train), tmp_path / "run")
    assert outcome.stats["load_pretrained"]["tensors_taken"] > 50
    assert outcome.stats["load_pretrained"]["share"] > 0.9
    json.dumps(outcome.stats)


def test_a_contradiction_names_key_got_and_wanted(folders, setup):
    folder, _ = folders["conformer"]
    with pytest.raises(
        InputError, match=r"model\.n_fft: got 400, wanted 512; .*model\.num_layers: got 1, wanted 2.*"
    ) as e:
        start(setup, folder)
    assert f"as in train.init_from {folder}" in str(e.value)
    assert "\n" not in str(e.value)


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
def test_what_our_network_cannot_be_is_refused(copied, old, new, message):
    path = copied / "hyperparams.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if "other: !ref" in new:
        (copied / "asr.ckpt").unlink()
    with pytest.raises(InputError, match=message) as error:
        pretrained.find(copied)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["asr.ckpt", "normalizer.ckpt", "tokenizer.ckpt"])
def test_files_that_are_missing_or_cut_short_are_named(copied, name):
    path = copied / name
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=f"{name}: (cannot be|has 5 units)") as error:
        pretrained.load(copied)
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(InputError, match=f"has no .*{name}"):
        pretrained.load(copied)


def test_units_of_another_model_are_refused(copied):
    (copied / "tokenizer.ckpt").write_bytes(train_spm(TEXTS, 9).spm_model)
    with pytest.raises(InputError, match=r"tokenizer\.ckpt: has 9 units, the CTC head in asr\.ckpt 10 rows"):
        pretrained.load(copied)


def test_a_checkpoint_without_an_encoder(copied):
    torch.save({"0.x": torch.zeros(1)}, copied / "asr.ckpt")
    with pytest.raises(InputError, match=r"asr\.ckpt: has no tensor of an encoder"):
        pretrained.load(copied)


def test_statistics_of_other_features(copied):
    torch.save({"count": 1, "glob_mean": torch.zeros(40), "glob_std": torch.ones(40)}, copied / "normalizer.ckpt")
    with pytest.raises(InputError, match=r"normalizer\.ckpt: glob_mean: got shape \(40,\), wanted \(20,\)"):
        pretrained.load(copied)


def test_nothing_in_a_foreign_folder_is_run(copied, tmp_path):
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
        PlainHparams.read(path)
    assert not mark.exists()


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"hyperparams\.yaml: no such file, wanted a run folder or a SpeechBrain"):
        pretrained.find(tmp_path)


def test_a_run_folder_of_ours_is_read_in_the_same_way(setup, tmp_path):
    training.train(setup, tmp_path / "run")
    layout = pretrained.find(tmp_path / "run")
    assert replace(setup.model, **layout.architecture) == setup.model
    assert pretrained.load(tmp_path / "run").symbols == setup.tokens.symbols


def test_the_fingerprint_knows_every_file(copied):
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
def test_a_hub_name_that_cannot_be_had(monkeypatch, tmp_path, token):
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
        InputError, match=r"train\.init_from a/b: is no folder here and cannot be had from the Hub: OSError"
    ) as e:
        pretrained.locate("a/b")
    assert TOKEN not in str(e.value)
    assert "\n" not in str(e.value)
    assert ("HF_TOKEN" in str(e.value)) == (token is None)


def test_a_name_that_is_none():
    with pytest.raises(InputError, match="is no folder here and no Hub name"):
        pretrained.locate("nowhere")


def test_units_of_characters(copied):
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
