"""A recogniser for tests: the first sample of every frame is the number of the frame's token."""

from pathlib import Path

import numpy as np
import torch

from atc_asr.tokenizer.tokens import Tokens, char_tokens

SAMPLE_RATE = 16000
FRAME_SAMPLES = 640
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
SCALE = 1 / 128  # token numbers as PCM16 amplitudes
TOKENS = char_tokens(["ABCDEFGHIJKLMNOPQRSTUVWXYZ "])


def spoken_path(text: str, tokens: Tokens) -> np.ndarray:
    """A path (T,): blank, label, label, blank, label, label, ..."""
    path = [0]
    for token in tokens.encode(text):
        path += [token, token, 0]
    return np.array(path)


def to_wav(text: str, tokens: Tokens) -> np.ndarray:
    """Samples (S,) of a text for `EchoRecognizer`."""
    return np.repeat(spoken_path(text, tokens) * SCALE, FRAME_SAMPLES).astype(np.float32)


def log_posteriors(path: np.ndarray, num_tokens: int, peak: float) -> np.ndarray:
    """Log-probabilities (T, V): probability `peak` on the path, the rest distributed evenly over the other tokens."""
    log_probs = np.full((len(path), num_tokens), np.log((1 - peak) / (num_tokens - 1)), dtype=np.float32)
    log_probs[np.arange(len(path)), path] = np.log(peak)
    return log_probs


class EchoRecognizer:
    """A network whose best path is the token numbers in the samples."""

    sample_rate = SAMPLE_RATE
    frame_seconds = FRAME_SECONDS

    def __init__(self, tokens: Tokens = TOKENS, peak: float = 0.9) -> None:
        self.tokens = tokens
        self.peak = peak

    def log_probs(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, S), (B,) -> (B, T, V), (B,)."""
        paths = (wavs[:, ::FRAME_SAMPLES] / SCALE).round().long().numpy()
        log_probs = np.stack([log_posteriors(path, len(self.tokens), self.peak) for path in paths])
        num_frames = torch.ceil(wav_lens * wavs.shape[1] / FRAME_SAMPLES - 1e-3).long()
        return torch.from_numpy(log_probs), num_frames


def write_corpus(folder: Path, texts: dict[str, str], tokens: Tokens = TOKENS) -> Path:
    """Write a manifest with a WAV of `to_wav` for every id; returns the manifest."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    lines = ["id,wav,duration,transcript"]
    for name, text in texts.items():
        samples = to_wav(text, tokens)
        soundfile.write(folder / f"{name}.wav", samples, SAMPLE_RATE, subtype="PCM_16")
        lines.append(f"{name},{name}.wav,{len(samples) / SAMPLE_RATE:.4f},{text}")
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    return folder / "test.csv"
