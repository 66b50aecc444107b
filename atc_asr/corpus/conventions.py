"""Transcription conventions: what the brackets and symbols of a corpus mean, as one table of rules per corpus.

A convention turns a transcript into the words that were spoken, before `atc_asr.core.text.normalize`. What the rules
and the removal of bracketed marks take out is counted by kind, so that a wrong convention is seen in the first export.

Sources: the LDC's documentation of LDC94S14A; K. Hofbauer, S. Petrik: ATCOSIM, technical report TUG-SPSC-2007-11;
L. Smidl et al.: Air traffic control communication (UWB-ATCC); J. Zuluaga-Gomez et al.: ATCO2 corpus, arXiv 2211.04054,
and its recipes (github.com/idiap/atco2-corpus).
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from atc_asr.atc.vocabulary.words import PHONETIC
from atc_asr.core import text

PLAIN = "plain"
SIMILARITY = 0.6  # of a transcribed pronunciation to a word of the radio alphabet, 0 to 1 (`difflib`)

Kind = Literal["marks", "brackets", "comments", "foreign", "noise"]
Removed = tuple[Kind, str]  # (kind, what was removed)


@dataclass(frozen=True)
class Rule:
    """A regular expression and what replaces its matches; matches are counted as `kind`, None = not removed."""

    kind: Kind | None
    pattern: re.Pattern[str]
    kept: str | Callable[[re.Match[str]], str] = " "


def rule(kind: Kind | None, pattern: str, kept: str | Callable[[re.Match[str]], str] = " ") -> Rule:
    """A rule without distinction of case. Words are separated by single spaces; every rule takes linear time."""
    return Rule(kind, re.compile(pattern, re.IGNORECASE), kept)


def stretch(kind: Kind, begin: str, end: str) -> Rule:
    """Removes everything from a mark to its end mark, or to the end of the transcript where that is missing."""
    return rule(kind, rf"{begin}.*?(?:{end}|\Z)")


def spoken_label(match: re.Match[str]) -> str:
    """`(QNH(Q N H))` is QNH, `(radar(rýdar))` RADAR: the label, with pronunciations in any spelling left out.

    A letter that was spoken as its word is that word: `(H(otel))` is HOTEL, `(OK(oscar kilo))` OSCAR KILO.
    """
    label, pronunciation = match[1].strip(), text.fold(match[2]).split()
    letters = text.fold(label)
    if len(pronunciation) == len(letters) and all(letter in PHONETIC for letter in letters):
        words = [PHONETIC[letter].upper() for letter in letters]
        if all(map(_is_similar, pronunciation, words)):
            return f" {' '.join(words)} "
    return f" {label} "


def _is_similar(pronunciation: str, word: str) -> bool:
    """Whether a pronunciation is the word; `otel` of HOTEL continues its label."""
    return bool(difflib.get_close_matches(word, [pronunciation, word[0] + pronunciation], cutoff=SIMILARITY))


UWB_KINDS: Mapping[str, Kind] = {"comment": "comments", "no_eng": "foreign", "czech": "foreign", "noise": "noise"}
CONVENTIONS: Mapping[str, tuple[Rule, ...]] = {
    PLAIN: (),
    "atc0": (
        rule(None, r" ?\(QUOTE ([A-Z]+)\)", r"'\1"),  # WE (QUOTE LL)
        rule(None, r" ?' ?(LL|RE|VE|S|D|T|M)\b", r"'\1"),  # WE 'LL
        rule(None, r" ?/+ ?"),  # line breaks
    ),
    "atcosim": (stretch("foreign", "<FL>", "</FL>"),),  # <OT> talk aside </OT> was spoken
    "uwb": (  # [noise_|] ... [|_noise]; what is said in [unintelligible_|], [background_speech_|], [speaker_|] is kept
        *(stretch(kind, rf"\[{name}_\|\]", rf"\[\|_{name}\]") for name, kind in UWB_KINDS.items()),
        rule("brackets", r"\(([^()]*)\(([^()]*)\) ?\)", spoken_label),
    ),
    "atco2": (
        stretch("foreign", r"\[NE(?:[ _-][^\[\]]*)?\]", r"\[[/\\] ?NE[^\[\]{}]*[\]}]"),  # [NE Czech] ... [/NE]
        stretch("foreign", r"\[#nonenglish\]", r"\[/#nonenglish\]"),
        rule("brackets", r"\(\(([^()]*)\)\)", r" \1 "),  # words that are hard to understand
        rule("brackets", r"_\([^()]*\)"),  # translation: schöne_tag_(bye)
        rule("brackets", r"(?<![^ ()\[\]])[^ ()\[\]]+\(([^()]*)\)", r" \1 "),  # written(spoken): 04R(zero four right)
    ),
}
LAYOUTS = {"ldc": "atc0", "atcosim": "atcosim", "uwb": "uwb", "atco2": "atco2"}  # distributions with one convention


def choose(convention: str, layout: str) -> str:
    """The convention of an export: a corpus's own distribution has its own where the parameter says `plain`."""
    return LAYOUTS.get(layout, PLAIN) if convention == PLAIN else convention


def apply_rules(transcript: str, convention: str) -> tuple[str, list[Removed]]:
    """The transcript after the rules of its convention, with other bracketed marks, and what the rules removed."""
    removed: list[Removed] = []
    transcript = " ".join(transcript.split())
    for each in CONVENTIONS[convention]:
        if each.kind is not None:
            removed += [(each.kind, match[0].strip()) for match in each.pattern.finditer(transcript)]
        transcript = each.pattern.sub(each.kept, transcript)
    return transcript, removed


def apply(transcript: str, convention: str) -> tuple[str, tuple[Removed, ...]]:
    """The words that were spoken, not yet normalised, and what was removed with its kind, in order of the rules.

    The bracketed marks that `text.normalize` removes from every text are removed and counted here too.
    """
    transcript, removed = apply_rules(transcript, convention)
    for _ in range(text.MAX_NESTING):
        marks = text.MARK.findall(transcript)
        if not marks:
            break
        removed += [("brackets" if mark[0] == "(" else "marks", mark) for mark in marks]
        transcript = text.MARK.sub(" ", transcript)
    return transcript, tuple(removed)
