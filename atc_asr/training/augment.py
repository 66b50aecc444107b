"""Other radios and other speaking rates, drawn anew for each training batch on the device that trains.

B utterances, S samples of a batch's row. A batch's draws come from torch's generators, those that decide lengths from
the host's, the others from its device's; both are part of a checkpoint. Nothing here waits for the device, and each
utterance has its own draw; SpeechBrain's AddNoise, DropChunk and DoClip loop over utterances or draw one value a batch,
so only its SpeedPerturb is used.
"""

from dataclasses import replace

import torch
from speechbrain.augment.time_domain import SpeedPerturb

from atc_asr.model.batches import Batch
from atc_asr.model.padding import pad_waveforms
from atc_asr.training.params import AugmentParams

UNCHANGED = 100  # per cent of the speed
EDGE = 100.0  # Hz from full to no gain at the edges of the band
SMALLEST = 1e-8  # keeps logarithms and quotients of silence finite


def fastest(params: AugmentParams) -> float:
    """Largest factor by which speech is sped up."""
    return max(params.speeds) / UNCHANGED


def draw(low: float, high: float, size: int, device: torch.device) -> torch.Tensor:
    """(B, 1) uniform between two limits."""
    return low + (high - low) * torch.rand(size, 1, device=device)


def gain_of(decibels: torch.Tensor) -> torch.Tensor:
    """Factor on an amplitude."""
    return 10 ** (decibels / 20)


def audio_mask(wavs: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
    """(B, S) bool: true before each utterance's end.

    Args:
        wavs: (B, S).
        num_samples: (B, 1).
    """
    return torch.arange(wavs.shape[1], device=wavs.device) < num_samples


def rms(wavs: torch.Tensor, num_samples: torch.Tensor | int) -> torch.Tensor:
    """(B, 1) root mean square of (B, S) samples that are 0 behind their (B, 1) ends."""
    return (wavs.square().sum(1, keepdim=True) / num_samples).sqrt().clamp(min=SMALLEST)


def band_pass(wavs: torch.Tensor, low: torch.Tensor, high: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """(B, S) without what lies outside of (B, 1) edges in Hz; zero phase, edges as in atc_asr.corpus.radio.band_gain."""
    size = 2 ** (wavs.shape[1] + sample_rate // 50 - 1).bit_length()  # padded against wrapping round
    frequencies = torch.fft.rfftfreq(size, 1 / sample_rate, device=wavs.device)
    inside = torch.minimum((frequencies - low) / EDGE + 1, (high - frequencies) / EDGE + 1).clamp(0, 1)
    gain = inside * inside * (3 - 2 * inside)
    return torch.fft.irfft(torch.fft.rfft(wavs, size) * gain, size)[:, : wavs.shape[1]]


def clip(wavs: torch.Tensor, num_samples: torch.Tensor, over_rms: torch.Tensor) -> torch.Tensor:
    """(B, S) cut at (B, 1) dB over each utterance's RMS level."""
    limit = rms(wavs, num_samples) * gain_of(over_rms)
    return torch.maximum(torch.minimum(wavs, limit), -limit)


def add_noise(wavs: torch.Tensor, noise: torch.Tensor, num_samples: torch.Tensor, snr: torch.Tensor) -> torch.Tensor:
    """(B, S) with noise (B, S) that lies (B, 1) dB under each utterance."""
    return wavs + noise * rms(wavs, num_samples) / rms(noise, num_samples) / gain_of(snr)


def set_level(wavs: torch.Tensor, num_samples: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """(B, S) at (B, 1) dB of full scale RMS."""
    return wavs * gain_of(level) / rms(wavs, num_samples)


def drop_out(wavs: torch.Tensor, start: torch.Tensor, seconds: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """(B, S) with silence for (B, 1) seconds from (B, 1) samples on."""
    places = torch.arange(wavs.shape[1], device=wavs.device)
    return wavs.masked_fill((places >= start) & (places < start + seconds * sample_rate), 0.0)


class Augment:
    """Batches as other radios and speaking rates would have them."""

    def __init__(self, params: AugmentParams, sample_rate: int, device: torch.device) -> None:
        """
        Args:
            params: what is drawn.
            sample_rate: Hz of the waveforms.
            device: where they are.
        """
        self._params = params
        self._sample_rate = sample_rate
        self._changes_speed = params.speeds != [UNCHANGED]
        self._speed = SpeedPerturb(sample_rate, params.speeds, device=str(device))

    def __call__(self, batch: Batch) -> Batch:
        """A batch with changed `wavs` and `wav_lens`, on its device; itself when all is off."""
        wavs, wav_lens = batch.wavs, batch.wav_lens
        if self._changes_speed:
            wavs = self._speed(wavs)  # one speed a batch: the shares that are audio stay
        if self._params.radio_fraction:
            wavs, wav_lens = self.radio(wavs, wav_lens)
        if wavs is batch.wavs:
            return batch
        wavs, wav_lens = pad_waveforms(wavs, wav_lens)
        return replace(batch, wavs=wavs, wav_lens=wav_lens)

    def radio(self, wavs: torch.Tensor, wav_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Some utterances through a radio each; S grows by the longest burst of a closing squelch.

        Args:
            wavs: (B, S) float32 in [-1, 1), zeros behind an utterance's end.
            wav_lens: (B,) share of S that is audio, on the host.

        Returns:
            Both, changed.
        """
        num_samples = (wav_lens * wavs.shape[1]).round()[:, None]
        heard = self.channel(wavs, num_samples.to(wavs.device, non_blocking=True))
        wavs, total = self.squelch_tails(heard, wavs, num_samples)
        return wavs.clamp(-1, 1), (total / wavs.shape[1]).squeeze(1)

    def channel(self, wavs: torch.Tensor, num_samples: torch.Tensor) -> torch.Tensor:
        """Every utterance (B, S) with clipping, noise, band, drop-outs and level; (B, 1) samples of each are audio."""
        params, size, device = self._params, len(wavs), wavs.device
        mask = audio_mask(wavs, num_samples)
        low = draw(params.low_edge_low, params.low_edge_high, size, device)
        high = draw(params.high_edge_low, params.high_edge_high, size, device)
        noise = band_pass(torch.randn_like(wavs), low, high, self._sample_rate) * mask
        clipped = clip(wavs, num_samples, draw(params.clip_low, params.clip_high, size, device))
        speech = band_pass(clipped, low, high, self._sample_rate) * mask
        heard = add_noise(speech, noise, num_samples, draw(params.snr_low, params.snr_high, size, device))
        heard = set_level(heard, num_samples, draw(params.level_low, params.level_high, size, device))
        for _ in range(params.gaps):
            start = num_samples * torch.rand(size, 1, device=device)
            heard = drop_out(heard, start, draw(0, params.gap_seconds, size, device), self._sample_rate)
        return heard

    def squelch_tails(
        self, heard: torch.Tensor, wavs: torch.Tensor, num_samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`radio_fraction` of the utterances as heard, some with a burst at their end; the others as they were.

        Args:
            heard: (B, S) through the channel.
            wavs: (B, S) before it.
            num_samples: (B, 1) samples that are audio, on the host.

        Returns:
            (B, S + longest burst), and (B, 1) samples that are audio now, on the host.
        """
        params, size, device = self._params, len(wavs), wavs.device
        chosen = torch.rand(size, 1) < params.radio_fraction
        closing = chosen & (torch.rand(size, 1) < params.squelch_fraction)
        longest = round(params.squelch_seconds * self._sample_rate)
        total = num_samples + (draw(0, longest, size, chosen.device) * closing).round()
        chosen, start, end = (where.to(device, non_blocking=True) for where in (chosen, num_samples, total))
        wavs = torch.nn.functional.pad(torch.where(chosen, heard, wavs), (0, longest))
        tail = audio_mask(wavs, end) & ~audio_mask(wavs, start)
        low, high = torch.tensor([[params.low_edge_high, params.high_edge_low]], device=device).T
        noise = band_pass(torch.randn_like(wavs), low, high, self._sample_rate)
        # as loud as the speech, since a receiver's gain is up when nothing comes in
        burst_noise = noise / rms(noise, noise.shape[1]) * rms(wavs, start)
        return torch.where(tail, burst_noise, wavs), total
