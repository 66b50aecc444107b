"""Waveform augmentation of training batches: speed perturbation and a simulated radio channel.

All utterances of a batch are processed at once on the batch's device, each with parameters of its own. SpeechBrain's
AddNoise, DropChunk and DoClip loop over utterances or draw one value for a batch, so that only its SpeedPerturb is
used. Lengths are drawn from the CPU's random generator, everything else from the device's; checkpoints have both.

B utterances, S samples.
"""

from dataclasses import replace

import torch
from speechbrain.augment.time_domain import SpeedPerturb

from atc_asr.model.batches import Batch
from atc_asr.model.network import pad_waveforms
from atc_asr.training.params import AugmentParams

UNCHANGED = 100  # speed, per cent
MIN_RMS = 1e-8  # avoids a division by zero in silence

# Limits of uniform draws, one for each utterance
LOWER_EDGE = (200.0, 400.0)  # of the voice band, Hz
UPPER_EDGE = (2600.0, 3800.0)  # of the voice band, Hz
TRANSITION = 100.0  # width of the voice band's edges, Hz
CLIPPING = (6.0, 20.0)  # clipping level over the RMS level, dB
LEVEL = (-32.0, -14.0)  # RMS level, dB of full scale
DROPOUT_SECONDS = (0.0, 0.08)  # interruption of the signal
# A squelch tail is the burst of noise at the end of a transmission, before the receiver's squelch closes.
TAIL_FRACTION = 0.3  # fraction of the utterances with a squelch tail
MAX_TAIL_SECONDS = 0.2


def fastest(params: AugmentParams) -> float:
    """Largest factor by which speech is sped up."""
    return max(params.speeds) / UNCHANGED


def draw(limits: tuple[float, float], size: int, device: torch.device) -> torch.Tensor:
    """(B, 1) uniform random numbers between two limits."""
    low, high = limits
    return low + (high - low) * torch.rand(size, 1, device=device)


def amplitude(decibels: torch.Tensor) -> torch.Tensor:
    """Amplitude factor of a level."""
    return 10 ** (decibels / 20)


def audio_mask(wavs: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
    """(B, S) bool, true for the (B, 1) first samples of each utterance."""
    return torch.arange(wavs.shape[1], device=wavs.device) < num_samples


def rms(wavs: torch.Tensor, num_samples: torch.Tensor | int) -> torch.Tensor:
    """(B, 1) root mean square of (B, S) samples that are 0 behind the utterances' ends."""
    return (wavs.square().sum(1, keepdim=True) / num_samples).sqrt().clamp(min=MIN_RMS)


def band_pass(wavs: torch.Tensor, low: torch.Tensor, high: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Zero-phase band-pass filter of (B, S) samples with (B, 1) edges, Hz, smooth as in `atc_asr.corpus.radio`."""
    size = 2 ** (wavs.shape[1] + sample_rate // 50 - 1).bit_length()  # with zeros against circular convolution
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate, device=wavs.device)
    inside = torch.minimum((frequencies - low) / TRANSITION + 1, (high - frequencies) / TRANSITION + 1).clamp(0, 1)
    gain = inside * inside * (3 - 2 * inside)
    return torch.fft.irfft(torch.fft.rfft(wavs, size) * gain, size)[:, : wavs.shape[1]]


def clip(wavs: torch.Tensor, num_samples: torch.Tensor, over_rms: torch.Tensor) -> torch.Tensor:
    """Clip (B, S) samples at (B, 1) dB over each utterance's RMS level."""
    limit = rms(wavs, num_samples) * amplitude(over_rms)
    return torch.maximum(torch.minimum(wavs, limit), -limit)


def add_noise(wavs: torch.Tensor, noise: torch.Tensor, num_samples: torch.Tensor, snr: torch.Tensor) -> torch.Tensor:
    """Add noise (B, S) to (B, S) samples at signal-to-noise ratios (B, 1), dB."""
    return wavs + noise * rms(wavs, num_samples) / rms(noise, num_samples) / amplitude(snr)


def drop_out(wavs: torch.Tensor, start: torch.Tensor, seconds: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Silence (B, 1) seconds of (B, S) samples, from sample (B, 1) on."""
    places = torch.arange(wavs.shape[1], device=wavs.device)
    return wavs.masked_fill((places >= start) & (places < start + seconds * sample_rate), 0.0)


class Augment:
    """Augments batches of waveforms of a sample rate (Hz) on a device."""

    def __init__(self, params: AugmentParams, sample_rate: int, device: torch.device) -> None:
        self._params = params
        self._sample_rate = sample_rate
        self._changes_speed = params.speeds != [UNCHANGED]
        self._speed = SpeedPerturb(sample_rate, params.speeds, device=str(device))

    def __call__(self, batch: Batch) -> Batch:
        """A batch with changed `wavs` and `wav_lens`, or the same batch when augmentation is off."""
        wavs, wav_lens = batch.wavs, batch.wav_lens
        if self._changes_speed:
            wavs = self._speed(wavs)  # one speed for all utterances, so that relative lengths stay the same
        if self._params.radio_fraction:
            wavs, wav_lens = self.radio(wavs, wav_lens)
        if wavs is batch.wavs:
            return batch
        wavs, wav_lens = pad_waveforms(wavs, wav_lens)
        return replace(batch, wavs=wavs, wav_lens=wav_lens)

    def radio(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Send `radio_fraction` of the utterances (B, S) through a radio channel each.

        S grows by the longest squelch tail. `wav_lens` are (B,) relative lengths, on the CPU.
        """
        num_samples = (wav_lens * wavs.shape[1]).round()[:, None]
        received = self.channel(wavs, num_samples.to(wavs.device, non_blocking=True))
        wavs, total = self.squelch_tails(received, wavs, num_samples)
        return wavs.clamp(-1, 1), (total / wavs.shape[1]).squeeze(1)

    def channel(self, wavs: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        """Apply clipping, noise, a voice band, a level and a drop-out to (B, S) samples; `num_samples` is (B, 1)."""
        size, device = len(wavs), wavs.device
        mask = audio_mask(wavs, num_samples)
        low, high = draw(LOWER_EDGE, size, device), draw(UPPER_EDGE, size, device)
        noise = band_pass(torch.randn_like(wavs), low, high, self._sample_rate) * mask
        clipped = clip(wavs, num_samples, draw(CLIPPING, size, device))
        speech = band_pass(clipped, low, high, self._sample_rate) * mask
        snr = draw((self._params.snr_low, self._params.snr_high), size, device)
        received = add_noise(speech, noise, num_samples, snr)
        received = received * amplitude(draw(LEVEL, size, device)) / rms(received, num_samples)
        start = num_samples * torch.rand(size, 1, device=device)
        return drop_out(received, start, draw(DROPOUT_SECONDS, size, device), self._sample_rate)

    def squelch_tails(
        self, received: torch.Tensor, wavs: torch.Tensor, num_samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose `radio_fraction` of the utterances, and add a squelch tail to some of these.

        Args:
            received: (B, S) behind the channel.
            wavs: (B, S) before the channel, used for the utterances that are not chosen.
            num_samples: (B, 1) samples that are audio, on the CPU.

        Returns:
            (B, S + longest tail), and (B, 1) samples that are audio now, on the CPU.
        """
        size, device = len(wavs), wavs.device
        chosen = torch.rand(size, 1) < self._params.radio_fraction
        has_tail = chosen & (torch.rand(size, 1) < TAIL_FRACTION)
        longest = round(MAX_TAIL_SECONDS * self._sample_rate)
        total = num_samples + (draw((0, longest), size, chosen.device) * has_tail).round()
        chosen, start, end = (tensor.to(device, non_blocking=True) for tensor in (chosen, num_samples, total))
        wavs = torch.nn.functional.pad(torch.where(chosen, received, wavs), (0, longest))
        tail = audio_mask(wavs, end) & ~audio_mask(wavs, start)
        low, high = torch.tensor([[LOWER_EDGE[1], UPPER_EDGE[0]]], device=device).T
        noise = band_pass(torch.randn_like(wavs), low, high, self._sample_rate)
        # As loud as the speech, because a receiver's automatic gain is high when there is no signal.
        burst = noise / rms(noise, noise.shape[1]) * rms(wavs, start)
        return torch.where(tail, burst, wavs), total
