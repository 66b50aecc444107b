"""Named corpora of the section `corpora`: their parameters, and the check of all of them before any work."""

from atc_asr.core.config import AnySection, make_section
from atc_asr.core.corpora import is_used
from atc_asr.core.errors import InputError
from atc_asr.core.params import CorporaParams, CorpusParams
from atc_asr.corpus.params import CheckParams, ExportParams, SyntheticParams

Sections = tuple[ExportParams, CheckParams, SyntheticParams]


def sections_of(name: str, corpora: CorporaParams, common: Sections) -> Sections:
    """The parameters of a corpus's export: those of the sections, with the values of `corpora.<name>.export`.

    Raises:
        InputError: there is no such corpus, it has no `corpus`, or a key or value cannot be used.
    """
    if name not in corpora.by_name:
        raise InputError(f"--name: got {name!r}, wanted one of section corpora: {', '.join(corpora.by_name) or 'none'}")
    where = f"corpora.{name}.export"
    export, checks, synthetic = common
    changes = dict(corpora.by_name[name].export)

    def changed(section: AnySection, values: object, place: str) -> AnySection:
        if not isinstance(values, dict):
            raise InputError(f"{place}: got {values!r}, wanted keys of section {section.section}")
        return make_section(type(section), {**section.model_dump(), **values}, place)

    checks = changed(checks, changes.pop("checks", {}), f"{where}.checks")
    synthetic = changed(synthetic, changes.pop("synthetic", {}), f"{where}.synthetic")
    export = changed(export, changes, where)
    if export.corpus is None:
        raise InputError(f"{where}.corpus: missing, wanted synthetic, a Hub dataset or a local path")
    return export, checks, synthetic


def exported_splits(export: ExportParams, synthetic: SyntheticParams) -> set[str]:
    """The splits that a corpus has by its parameters; valid and test may also be taken out of train."""
    if export.corpus == "synthetic":
        return {split for split in ("train", "valid", "test") if getattr(synthetic, f"num_{split}")}
    names = {"train": export.train_split, "valid": export.valid_split, "test": export.test_split}
    found = {split for split, name in names.items() if name}
    if export.split_by and "train" in found:
        found |= {split for split in ("valid", "test") if getattr(export, f"{split}_fraction")}
    return found


def check_role(name: str, corpus: CorpusParams, splits: set[str], where: str) -> None:
    """Check that a corpus has the splits that its role needs; those that it has are found in `where`.

    Raises:
        InputError: it has not.
    """
    is_trained, is_guard = is_used(corpus, "train"), corpus.role == "guard"
    needed = {"train": is_trained, "valid": is_guard, "test": is_guard or not is_trained}
    missing = [split for split, wanted in needed.items() if wanted and split not in splits]
    if missing:
        raise InputError(
            f"corpora.{name}: role {corpus.role} with weight {corpus.weight:g} needs the split {missing[0]}, "
            f"{where} has {', '.join(sorted(splits)) or 'none'}"
        )


def check_corpora(corpora: CorporaParams, common: Sections) -> None:
    """Check the parameters of all corpora.

    Raises:
        InputError: the parameters of one cannot be used, it lacks a split, or `export.corpus` is one corpus more.
    """
    export, _, _ = common
    if corpora.by_name and export.corpus is not None:
        raise InputError(f"export.corpus: got {export.corpus!r} beside section corpora, wanted null (or corpora: {{}})")
    if not corpora.by_name and export.corpus is None:
        raise InputError("export.corpus: got null and no section corpora, wanted a corpus")
    for name, corpus in corpora.by_name.items():
        own, _, synthetic = sections_of(name, corpora, common)
        check_role(name, corpus, exported_splits(own, synthetic), f"corpora.{name}.export")
