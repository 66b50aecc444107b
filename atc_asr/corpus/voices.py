"""Voices: espeak-ng through ctypes, from the wheel `espeakng_loader` (library and voice data, no system package).

C API: espeak-ng's `speak_lib.h`. The library keeps one voice and one callback for the whole process, so there is one
engine a process at a time and it speaks one text at a time.
"""

import _ctypes
import ctypes
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from atc_asr.core.errors import InputError

ACCENTS = (
    "en-us",
    "en-us-nyc",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
)
# Families of variants of `espeak-ng-data/voices/!v`: a family is one vocal tract with small changes, so it stays in one
# split. Left out, by name: whispers and croaks (whisper, whisperf, croak, Demonic, grandma, grandpa, aunty, norbert,
# Tweaky, Storm), robots with an echo that outlasts a word (robosoft*, UniRobot, anikaRobot), a child an octave above
# speech (zac, kaukovalta, RicishayMax*), another speed (fast), a name with a space (Mr serious), vowels without length
# (`stressLength 0 1 2 …`: Andrea, anika, antonio, pedro; a recogniser at 15.5 % WER on all had 53 % on anika). Left out
# after measuring one sentence inside 300-3,400 Hz: more noise than voice (klatt, klatt2, klatt5, klatt6, caleb:
# spectral flatness 0.1-0.28 where the others have at most 0.05), words drawn out by a quarter and more (Marco,
# AnxiousAndy), vowels that all have one spectral centre (iven2, steph2).
FAMILIES = (
    ("Alex",),
    ("Alicia",),
    ("Andy",),
    ("Annie",),
    ("Denis",),
    ("Diogo",),
    ("Gene", "Gene2"),
    ("Henrique", "Hugo"),
    ("Jacky",),
    ("Lee",),
    ("Mario", "Michael"),
    ("Mike", "mike2"),
    ("Nguyen",),
    ("Reed",),
    ("adam",),
    ("announcer",),
    ("belinda",),
    ("benjamin",),
    ("boris",),
    ("david",),
    ("ed",),
    ("edward", "edward2"),
    ("f1",),
    ("f2",),
    ("f3",),
    ("f4",),
    ("f5",),
    ("gustave",),
    ("ian",),
    ("iven", "iven3", "iven4"),
    ("john",),
    ("klatt3", "klatt4"),
    ("linda",),
    ("m1",),
    ("m2",),
    ("m3",),
    ("m4",),
    ("m5",),
    ("m6",),
    ("m7",),
    ("m8",),
    ("marcelo",),
    ("max",),
    ("michel",),
    ("miguel",),
    ("pablo",),
    ("paul",),
    ("quincy",),
    ("rob", "robert"),
    ("sandro",),
    ("shelby",),
    ("steph", "steph3"),
    ("travis",),
    ("victor",),
)

# speak_lib.h
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
RATE, PITCH, PITCH_RANGE = 1, 3, 4
BUFFER_MS = 200
NOISE_SEED = 1

SILENCE_DB = 45.0
FRAME_SECONDS = 0.01

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class VoiceSettings:
    """How a text is spoken: voice (`en-us+f3`), words a minute, pitch and pitch range on espeak's scale 0-100."""

    voice: str
    words_per_minute: int
    pitch: int
    pitch_range: int


def split_families(num_valid: int, num_test: int) -> dict[str, list[tuple[str, ...]]]:
    """Families of each split: test takes its share first, so that it does not move with the others' sizes.

    Raises:
        InputError: no family is left to train on.
    """
    if num_valid + num_test >= len(FAMILIES):
        raise InputError(
            f"synthetic: {num_valid} valid and {num_test} test voice families leave none of {len(FAMILIES)} for train"
        )
    order = sorted(FAMILIES, key=lambda family: zlib.crc32(family[0].encode()))
    return {
        "test": order[:num_test],
        "valid": order[num_test : num_test + num_valid],
        "train": order[num_test + num_valid :],
    }


def split_voices(num_valid: int, num_test: int) -> dict[str, list[str]]:
    """Voices (accent + variant) of each split; no variant family is in two splits.

    Args:
        num_valid: families for valid.
        num_test: families for test.

    Raises:
        InputError: no family is left to train on.
    """
    return {
        split: [f"{accent}+{variant}" for family in families for variant in family for accent in ACCENTS]
        for split, families in split_families(num_valid, num_test).items()
    }


class Engine:
    """espeak-ng as it is just after loading, for one text.

    The library carries state from text to text (pitch flutter, wave phase, noise) that no call of its API resets, so
    what it says would depend on what was said before. A fresh load costs 3 ms and makes speech a pure function.

    Raises:
        InputError: the library or its data cannot be loaded.
    """

    def __init__(self) -> None:
        library_path, self._data_path = find_library()
        self._library = load_library(library_path)
        self._chunks: list[np.ndarray] = []
        # ctypes keeps no reference to a callback: without this one it would be collected
        self._callback = CALLBACK(self._receive)
        self.sample_rate = self._library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, self._data_path.encode(), INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            unload_library(self._library)
            raise InputError(f"synthetic corpus: espeak-ng does not start with the voice data in {self._data_path}")
        self._library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_error: object) -> None:
        self._library.espeak_Terminate()
        unload_library(self._library)

    def _receive(self, samples: ctypes.POINTER(ctypes.c_short), num_samples: int, _events: int) -> int:
        if samples and num_samples > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(num_samples,)).copy())
        return 0

    def _set_voice(self, voice: str) -> None:
        # of an unknown variant the library says nothing and takes the plain voice
        _, _, variant = voice.partition("+")
        known = not variant or Path(self._data_path, "voices", "!v", variant).is_file()
        if not known or self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"voice {voice}: espeak-ng has no such voice")

    def speak(self, text: str, manner: VoiceSettings) -> np.ndarray:
        """Speech at `self.sample_rate`, (S,) float32 in [-1, 1).

        Raises:
            InputError: espeak-ng does not know the voice, or said nothing.
        """
        library = self._library
        # espeak_Initialize seeds its noise from the clock
        library.espeak_ng_SetRandSeed(NOISE_SEED)
        self._set_voice(manner.voice)
        library.espeak_SetParameter(RATE, manner.words_per_minute, 0)
        library.espeak_SetParameter(PITCH, manner.pitch, 0)
        library.espeak_SetParameter(PITCH_RANGE, manner.pitch_range, 0)
        data = text.encode()
        status = library.espeak_Synth(data, len(data) + 1, 0, 1, 0, CHARS_UTF8, None, None)
        if status != 0 or not self._chunks:
            raise InputError(f"voice {manner.voice}: espeak-ng said nothing for {text!r} (status {status})")
        return np.concatenate(self._chunks).astype(np.float32) / 32768.0


def find_library() -> tuple[str, str]:
    """Paths of the library and of its voice data.

    Raises:
        InputError: the wheel is not installed, or incomplete.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise InputError("synthetic corpus: package espeakng-loader is not installed (see requirements.txt)") from error
    try:
        return espeakng_loader.get_library_path(), str(espeakng_loader.get_data_path())
    except RuntimeError as error:
        raise InputError(f"synthetic corpus: package espeakng-loader has no voice data: {error}") from error


def load_library(path: str) -> ctypes.CDLL:
    """The library, not yet initialised.

    Raises:
        InputError: it cannot be loaded on this machine.
    """
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise InputError(f"synthetic corpus: espeak-ng cannot be loaded: {error}") from error
    text, size, unsigned, pointer = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_void_p
    library.espeak_Synth.argtypes = [text, size, unsigned, ctypes.c_int, unsigned, unsigned, pointer, pointer]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    return library


def unload_library(library: ctypes.CDLL) -> None:
    """Forget the library and all its state; a handle left open would keep the state for the next load."""
    _ctypes.dlclose(library._handle)


def trim(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Without the silence at both ends: 10 ms frames more than SILENCE_DB below the loudest one."""
    frame = int(sample_rate * FRAME_SECONDS)
    num_frames = len(samples) // frame
    power = np.mean(np.square(samples[: num_frames * frame].reshape(num_frames, frame), dtype=np.float64), axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_DB / 10))
    return samples[loud[0] * frame : (loud[-1] + 1) * frame]


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """(S,) float32 at another rate."""
    return soxr.resample(samples, from_rate, to_rate, quality="HQ") if from_rate != to_rate else samples


def speak(text: str, manner: VoiceSettings, sample_rate: int) -> np.ndarray:
    """A text spoken, without silence at its ends, (S,) float32 at `sample_rate`.

    Raises:
        InputError: espeak-ng cannot be loaded or said nothing.
    """
    with Engine() as engine:
        spoken, from_rate = engine.speak(text, manner), engine.sample_rate
    if not np.any(spoken):
        raise InputError(f"voice {manner.voice}: espeak-ng said nothing but silence for {text!r}")
    return resample(trim(spoken, from_rate), from_rate, sample_rate)
