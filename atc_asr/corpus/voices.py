"""Voices of espeak-ng, called through ctypes; library and voice data come from the wheel `espeakng_loader`.

C API: espeak-ng's `speak_lib.h`. The library has one voice and one callback per process, so a process speaks one text
at a time.
"""

import _ctypes
import contextlib
import ctypes
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from atc_asr.core.errors import InputError

ACCENTS = ("en-us", "en-us-nyc", "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
# Families of voice variants in `espeak-ng-data/voices/!v`. The variants of a family (a+b) differ little, so a family
# is in one split. Excluded by name or definition: whispers and creaky voices (whisper, whisperf, croak, Demonic,
# grandma, grandpa, aunty, norbert, Tweaky, Storm), robots with an echo longer than a word (robosoft*, UniRobot,
# anikaRobot), a child an octave above other speech (zac, kaukovalta, RicishayMax*), another rate (fast), a name with a
# space (Mr serious), vowels without length (`stressLength 0 1 2 ...`: Andrea, anika, antonio, pedro; a recogniser with
# 15.5 % WER on all voices had 53 % on anika). Excluded after measuring one sentence in 300-3,400 Hz: noisy voices
# (klatt, klatt2, klatt5, klatt6, caleb: spectral flatness 0.1-0.28, others at most 0.05), words longer by a quarter or
# more (Marco, AnxiousAndy), vowels with the same spectral centroid (iven2, steph2).
FAMILIES = tuple(
    tuple(family.split("+"))
    for family in (
        "Alex Alicia Andy Annie Denis Diogo Gene+Gene2 Henrique+Hugo Jacky Lee Mario+Michael Mike+mike2 Nguyen Reed "
        "adam announcer belinda benjamin boris david ed edward+edward2 f1 f2 f3 f4 f5 gustave ian iven+iven3+iven4 "
        "john klatt3+klatt4 linda m1 m2 m3 m4 m5 m6 m7 m8 marcelo max michel miguel pablo paul quincy rob+robert "
        "sandro shelby steph+steph3 travis victor"
    ).split()
)
VALID_FAMILIES, TEST_FAMILIES = 8, 14  # number of families that occur only in valid, only in test

# Constants of speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
RATE, PITCH, PITCH_RANGE = 1, 3, 4
BUFFER_MS = 200
NOISE_SEED = 1

SILENCE_DB = 45.0  # frames more than this below the loudest one are silence, dB
FRAME_SECONDS = 0.01

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class VoiceSettings:
    """Voice (`en-us+f3`), speaking rate in words per minute, pitch and pitch range on espeak-ng's scale 0-100."""

    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int


def split_voices() -> dict[str, list[str]]:
    """Voices (accent+variant) of each split; no family is in two splits."""
    order = sorted(FAMILIES, key=lambda family: zlib.crc32(family[0].encode()))
    test, valid = TEST_FAMILIES, TEST_FAMILIES + VALID_FAMILIES
    edges = {"test": (0, test), "valid": (test, valid), "train": (valid, None)}
    return {
        split: [f"{accent}+{variant}" for family in order[start:stop] for variant in family for accent in ACCENTS]
        for split, (start, stop) in edges.items()
    }


def _synthesize(text: str, settings: VoiceSettings) -> tuple[np.ndarray, int]:
    """Speech with silence at its ends, (S,) float32 in [-1, 1), and its sample rate in Hz.

    espeak-ng keeps state between texts (pitch flutter, wave phase, noise) that no call of its API resets. Each text
    therefore loads the library again, which takes 3 ms and makes the speech independent of earlier texts.
    """
    library, data_path = load_library()
    chunks: list[np.ndarray] = []

    def receive(samples: "ctypes._Pointer[ctypes.c_short]", num_samples: int, _events: int) -> int:
        if samples and num_samples > 0:
            chunks.append(np.ctypeslib.as_array(samples, shape=(num_samples,)).copy())
        return 0

    callback = CALLBACK(receive)  # a variable, because ctypes does not keep a reference to it
    with contextlib.ExitStack() as cleanup:
        # With an open handle the next load would return the same instance with its state.
        cleanup.callback(_ctypes.dlclose, library._handle)
        sample_rate = library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data_path.encode(), INITIALIZE_DONT_EXIT
        )
        if sample_rate <= 0:
            raise InputError(f"synthetic corpus: espeak-ng does not start with the voice data in {data_path}")
        cleanup.callback(library.espeak_Terminate)
        library.espeak_SetSynthCallback(callback)
        # espeak_Initialize seeds the noise from the clock. The Klatt synthesiser (Reed) uses the C library's generator.
        library.espeak_ng_SetRandSeed(NOISE_SEED)
        ctypes.CDLL(None).srand(NOISE_SEED)
        # For an unknown variant the library uses the plain voice without an error.
        _, _, variant = settings.voice.partition("+")
        is_known = not variant or Path(data_path, "voices", "!v", variant).is_file()
        if not is_known or library.espeak_SetVoiceByName(settings.voice.encode()) != 0:
            raise InputError(f"voice {settings.voice}: espeak-ng has no such voice")
        library.espeak_SetParameter(RATE, settings.words_per_minute, 0)
        library.espeak_SetParameter(PITCH, settings.pitch, 0)
        library.espeak_SetParameter(PITCH_RANGE, settings.pitch_range, 0)
        data = text.encode()
        status = library.espeak_Synth(data, len(data) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    if status != 0 or not any(map(np.any, chunks)):
        raise InputError(f"voice {settings.voice}: espeak-ng returned no speech for {text!r} (status {status})")
    return np.concatenate(chunks).astype(np.float32) / 32768.0, sample_rate


def load_library() -> tuple[ctypes.CDLL, str]:
    """The library, not yet initialised, and the path of its voice data.

    Raises:
        InputError: the wheel is not installed or incomplete, or the library cannot be loaded on this machine.
    """
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data_path = str(espeakng_loader.get_data_path())
    except ImportError as error:
        raise InputError("synthetic corpus: package espeakng-loader is not installed (see requirements.txt)") from error
    except RuntimeError as error:
        raise InputError(f"synthetic corpus: package espeakng-loader has no voice data: {error}") from error
    except OSError as error:
        raise InputError(f"synthetic corpus: espeak-ng cannot be loaded: {error}") from error
    text, size, unsigned, pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_void_p
    library.espeak_Synth.argtypes = [text, size, unsigned, ctypes.c_int, unsigned, unsigned, pointer, pointer]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    return library, data_path


def trim(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Remove the silence at both ends."""
    frame = int(sample_rate * FRAME_SECONDS)
    num_frames = len(samples) // frame
    power = np.mean(np.square(samples[: num_frames * frame].reshape(num_frames, frame), dtype=np.float64), axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_DB / 10))
    return samples[loud[0] * frame : (loud[-1] + 1) * frame]


def speak(text: str, settings: VoiceSettings, sample_rate: int) -> np.ndarray:
    """Speech without silence at its ends, (S,) float32 at `sample_rate`.

    Raises:
        InputError: espeak-ng cannot be loaded, does not have the voice, or returned no speech.
    """
    speech, from_rate = _synthesize(text, settings)
    return soxr.resample(trim(speech, from_rate), from_rate, sample_rate, quality="HQ")
