"""SpeechBrain's pretrained folders in the published layouts, made with SpeechBrain's classes and random weights."""

import torch
from hyperpyyaml import load_hyperpyyaml

SHARED = """
sample_rate: 16000
n_fft: {n_fft}
n_mels: {n_mels}
win_length: {win_length}
d_model: {d_model}
nhead: {num_heads}
num_encoder_layers: {num_layers}
num_decoder_layers: {num_decoder_layers}
d_ffn: {d_ffn}
transformer_dropout: 0.1
activation: !name:torch.nn.GELU
output_neurons: {num_tokens}
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
    input_shape: (8, 10, {n_mels})
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
    kernel_size: {kernel_size}
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
TINY = {"n_mels": 20, "d_model": 16, "num_heads": 2, "num_layers": 2, "d_ffn": 32, "kernel_size": 7}
TWO_BLOCKS = {"num_blocks": 2, "channels": "(4, 3)", "kernels": "(3, 3)", "strides": "(2, 2)",
              "residuals": "(False, False)", "input_size": 15}  # fmt: skip
THREE_BLOCKS = {"num_blocks": 3, "channels": "(4, 4, 3)", "kernels": "(5, 5, 1)", "strides": "(2, 2, 1)",
                "residuals": "(False, False, False)", "input_size": 15}  # fmt: skip
PLAIN = {"n_fft": 400, "win_length": 25, "extra": "", "num_decoder_layers": 1, "normalizer": "normalizer"}
LAYOUTS = {  # those of the published folders of these names
    "conformersmall": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "asr"}),
    "conformer": (ATTENTION, PLAIN | THREE_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "asr", "n_fft": 512,
                                                     "win_length": 32}),
    "rope": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RoPEMHA", "file": "model", "normalizer": "normalize"}),
    "streaming": (TRANSDUCER, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "num_decoder_layers": 0,
                                                    "normalizer": "normalize"}),
    "loquacious": (ATTENTION, PLAIN | TWO_BLOCKS | {"attention_type": "RelPosMHAXL", "file": "model",
                                                    "extra": "conformer_activation: !ref <activation>"}),
}  # fmt: skip


def build(folder, layout, *, tokens, **sizes):
    """Write a pretrained folder with random weights; returns its modules. `sizes` replace those of `TINY`."""
    template, values = LAYOUTS[layout]
    values = TINY | values | sizes
    kind = "sentencepiece.SentencePieceProcessor"
    text = (SHARED + template).format(num_tokens=len(tokens), tokenizer=kind, **values)
    torch.manual_seed(5)
    modules = load_hyperpyyaml(text)
    network_key = "asr_model" if template is ATTENTION else "model"
    for weight in modules[network_key].parameters():
        torch.nn.init.normal_(weight, std=0.2)
    mean, deviation = torch.randn(values["n_mels"]), torch.rand(values["n_mels"]) + 0.5
    statistics = {"count": 9, "glob_mean": mean, "glob_std": deviation, "spk_dict_mean": {}}
    modules[values["normalizer"]]._load_statistics_dict(statistics)
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text(text)
    torch.save(modules[network_key].state_dict(), folder / f"{values.get('file', 'model')}.ckpt")
    torch.save(statistics, folder / f"{values['normalizer']}.ckpt")
    (folder / "tokenizer.ckpt").write_bytes(tokens.spm_model)
    return modules
