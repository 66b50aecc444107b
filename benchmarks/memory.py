"""benchmarks/memory: the memory of a training, for all weights and for adapters.

    .venv/bin/python -m benchmarks.memory

For the network of params.yaml and that of presets/atc0.yaml, in float32: parameters, gradients and AdamW's state after
one update; and the tensors that autograd saves for the backward pass (storages seen by saved_tensors_hooks, without
parameters), for 4 and for 8 utterances of 5 s, which gives the bytes per second of audio and those per update. Prints a
table for RESULTS.md. The modules are those of a GPU, without the fast path of a CPU (atc_asr.training.cpu_fast_path).
"""

from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from atc_asr.core import config
from atc_asr.model import network
from atc_asr.model.params import ModelParams, SpecAugmentParams
from atc_asr.training import lora, optimizer
from atc_asr.training.params import LoraParams, TrainParams

SECONDS, FEW, MANY = 5, 4, 8  # of an utterance; utterances
LABELS_PER_SECOND = 15  # characters of the built-in corpus
NUM_TOKENS = 32
MB = 1e6
PRESET = Path("presets/atc0.yaml")


def section(kind: type[config.AnySection], preset: dict) -> config.AnySection:
    """A section of params.yaml with the values of a preset."""
    return config.load_section(kind).model_copy(update=preset.get(kind.section, {}))


def build(model: ModelParams, specaugment: SpecAugmentParams) -> SimpleNamespace:
    """A network with random weights and statistics, in training mode."""
    torch.manual_seed(0)
    values = network.hparams_values(model, specaugment, NUM_TOKENS)
    hparams = network.build(network.fill_placeholders(network.HPARAMS_FILE, values), "params.yaml")
    hparams.normalizer(hparams.compute_features(torch.randn(1, 16000)), torch.ones(1), epoch=0)
    hparams.model.train()
    return hparams


def loss_of(hparams: SimpleNamespace, num_utterances: int, inter_ctc: float) -> torch.Tensor:
    """Training loss of a batch of noise."""
    with torch.no_grad():
        features = hparams.compute_features(torch.randn(num_utterances, SECONDS * hparams.sample_rate))
        features = hparams.normalizer(features, torch.ones(num_utterances), epoch=9)
    hidden, layers = hparams.conformer(hparams.front_end(features), torch.ones(num_utterances))
    half = hparams.conformer.transformer.encoder.norm(layers[len(layers) // 2])
    labels = torch.randint(1, NUM_TOKENS, (num_utterances, SECONDS * LABELS_PER_SECOND))
    sizes = torch.full((num_utterances,), labels.shape[1])

    def ctc(states: torch.Tensor) -> torch.Tensor:
        log_probs = hparams.log_softmax(hparams.ctc_head(states)).transpose(0, 1)
        return F.ctc_loss(log_probs, labels, torch.full_like(sizes, len(log_probs)), sizes, zero_infinity=True)

    return (1 - inter_ctc) * ctc(hidden) + inter_ctc * ctc(half)


def saved_for_backward(hparams: SimpleNamespace, num_utterances: int, inter_ctc: float) -> int:
    """Bytes of the storages that autograd saves for a batch, without those of parameters."""
    own = {weight.untyped_storage().data_ptr() for weight in hparams.model.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(hparams, num_utterances, inter_ctc)
    loss.backward()
    return sum(storage.nbytes() for storage in saved.values())


def measure(model: ModelParams, specaugment: SpecAugmentParams, train: TrainParams, adapters: LoraParams | None) -> str:
    """A row of the table: trained parameters, MB, MB per second of audio."""
    hparams = build(model, specaugment)
    frozen = optimizer.lowest_layers(hparams.front_end, hparams.conformer, train.freeze_layers)
    for module in frozen:
        module.requires_grad_(False)
    if adapters is not None:
        hparams.front_end.requires_grad_(False)
        lora.add_adapters(hparams.conformer, adapters, frozen)
    few = saved_for_backward(hparams, FEW, train.inter_ctc)
    many = saved_for_backward(hparams, MANY, train.inter_ctc)
    per_second = (many - few) / ((MANY - FEW) * SECONDS)
    groups = optimizer.parameter_groups(hparams.model, hparams.ctc_head, train.encoder_lr)
    adamw = optimizer.make_adamw(groups, lr=train.lr, weight_decay=train.weight_decay)
    adamw.step()
    weights = list(hparams.model.parameters())
    gradients = sum(weight.grad.nbytes for weight in weights if weight.grad is not None)
    state = sum(part.nbytes for entry in adamw.state.values() for part in entry.values())
    trained, every = network.count_parameters(hparams.model, trainable=True), network.count_parameters(hparams.model)
    own = sum(weight.nbytes for weight in weights)
    fixed = few - per_second * FEW * SECONDS
    figures = [f"{value / MB:.2f}" for value in (own, gradients, state, fixed, per_second)]
    return f"{trained:,} ({100 * trained / every:.1f} %) | " + " | ".join(figures)


def main() -> None:
    """Prints the table."""
    print("| network | training | trained parameters | parameters, MB | gradients, MB | AdamW's state, MB | "
          "saved per update, MB | saved per second of audio, MB |")  # fmt: skip
    print("|" + "---|" * 8)
    for name, preset in (("params.yaml", {}), (str(PRESET), config.read_yaml(PRESET))):
        model, specaugment = section(ModelParams, preset), section(SpecAugmentParams, preset)
        train = section(TrainParams, preset)
        adapters = section(LoraParams, preset).model_copy(update={"lora_r": 16})
        half = train.model_copy(update={"freeze_layers": model.num_layers // 2})
        for title, how, low_rank in (
            ("all weights", train, None),
            (f"lowest {half.freeze_layers} layers frozen", half, None),
            (f"LoRA r=16, dropout {adapters.lora_dropout}", train, adapters),
            ("LoRA r=16, no dropout", train, adapters.model_copy(update={"lora_dropout": 0.0})),
            ("LoRA r=16, attention only", train, adapters.model_copy(update={"lora_targets": ["attention"]})),
        ):
            print(f"| {name} | {title} | {measure(model, specaugment, how, low_rank)} |", flush=True)


if __name__ == "__main__":
    main()
