"""Voices: splits share no family, and speech depends on text and settings only."""

import re
import sys

import numpy as np
import pytest

from atc_asr.core.errors import InputError
from atc_asr.corpus.voices import ACCENTS, FAMILIES, VoiceSettings, speak, split_voices, trim

TEXT = "boston approach united six eighty six turn left heading two seven zero"
SETTINGS = VoiceSettings("en-us+f3", 160, 50, 50)


def test_splits_share_no_variant() -> None:
    variants = {split: {voice.split("+")[1] for voice in chosen} for split, chosen in split_voices().items()}
    assert not variants["train"] & variants["valid"]
    assert not variants["train"] & variants["test"]
    assert not variants["valid"] & variants["test"]
    assert sum(map(len, variants.values())) == sum(map(len, FAMILIES))


def test_a_family_is_in_one_split() -> None:
    splits = {voice.split("+")[1]: split for split, voices in split_voices().items() for voice in voices}
    for family in FAMILIES:
        assert len({splits[variant] for variant in family}) == 1


def test_every_split_has_many_voices() -> None:
    assert min(map(len, split_voices().values())) >= 60


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_speaks(accent: str) -> None:
    samples = speak(TEXT, VoiceSettings(f"{accent}+m3", 160, 50, 50), 16000)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 2 < len(samples) / 16000 < 8


def test_every_variant_speaks_and_sounds_different() -> None:
    speech = {
        variant: speak("turn left", VoiceSettings(f"en-us+{variant}", 160, 50, 50), 16000).tobytes()
        for family in FAMILIES
        for variant in family
    }
    assert len(set(speech.values())) == len(speech)


def test_speech_does_not_depend_on_earlier_texts() -> None:
    # Voices with state: breath noise (Alicia), flutter (m3, f3), a Klatt voice, the C library's generator (Reed).
    settings = [
        VoiceSettings(f"en-us+{variant}", 160, 50, 50) for variant in ("Alicia", "m3", "f3", "klatt3", "rob", "Reed")
    ]
    forwards = [speak(TEXT, voice, 16000).tobytes() for voice in settings]
    backwards = [speak(TEXT, voice, 16000).tobytes() for voice in reversed(settings)]
    assert forwards == backwards[::-1]


def test_duration_follows_rate() -> None:
    durations = [
        len(speak(TEXT, VoiceSettings("en-us+m3", rate, 50, 50), 16000)) / 16000 for rate in (120, 160, 200, 240)
    ]
    assert durations == sorted(durations, reverse=True)
    # Twice the rate is about half the duration.
    assert durations[0] / durations[3] == pytest.approx(2.0, abs=0.3)


def pitch_of(samples: np.ndarray) -> float:
    """Median pitch in Hz of 16 kHz speech, by autocorrelation of its loud 50 ms frames."""
    lags = []
    for start in range(0, len(samples) - 800, 400):
        frame = samples[start : start + 800]
        if frame.std() > samples.std():
            correlation = np.correlate(frame, frame, "full")[799:]
            lags.append(40 + int(correlation[40:320].argmax()))
    return 16000 / float(np.median(lags))


def test_pitch_follows_the_setting() -> None:
    low, high = (pitch_of(speak(TEXT, VoiceSettings("en-us+m3", 160, pitch, 20), 16000)) for pitch in (20, 80))
    assert 60 < low < 1.2 * low < high < 300


def test_no_silence_at_the_ends() -> None:
    samples = speak(TEXT, SETTINGS, 16000)
    loudest = np.abs(samples).max()
    assert np.abs(samples[:800]).max() > 0.01 * loudest
    assert np.abs(samples[-800:]).max() > 0.01 * loudest


def test_trim_removes_silence_at_both_ends() -> None:
    tone = np.sin(np.arange(1600, dtype=np.float32))
    padded = np.concatenate([np.zeros(3200, np.float32), tone, np.zeros(4800, np.float32)])
    assert np.array_equal(trim(padded, 16000), tone)


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(InputError, match=re.escape("en-us+nobody")):
        speak(TEXT, VoiceSettings("en-us+nobody", 160, 50, 50), 16000)


def test_an_empty_text_is_an_error() -> None:
    with pytest.raises(InputError, match="returned no speech"):
        speak("", SETTINGS, 16000)


def test_a_missing_library_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: "/nowhere/libespeak-ng.so")
    with pytest.raises(InputError, match="espeak-ng cannot be loaded") as caught:
        speak(TEXT, SETTINGS, 16000)
    assert "\n" not in str(caught.value)


def test_a_missing_wheel_is_an_error_that_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match="package espeakng-loader is not installed"):
        speak(TEXT, SETTINGS, 16000)


def test_missing_voice_data_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match="voice data"):
        speak(TEXT, SETTINGS, 16000)
