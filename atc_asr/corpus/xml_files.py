"""Reads XML transcripts with the standard library's parser; entities, which can fill the memory, are refused."""

import logging
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from atc_asr.core import messages
from atc_asr.corpus.segments import read_bytes

log = logging.getLogger(__name__)

MAX_DEPTH = 100  # levels of elements
CUT_OFF = {
    expat.errors.codes[text] for text in (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN)
}


class XmlError(Exception):
    """A file that is not usable XML."""


def read_xml(path: Path) -> ElementTree.Element:
    """The root element of an XML file in any encoding that Python knows.

    A file that ends before its last end tags, as some of UWB-ATCC do, is used up to there, with a warning.

    Raises:
        InputError: the file cannot be read.
        XmlError: the file is not XML, declares entities or is nested too deep.
    """
    builder = ElementTree.TreeBuilder()
    open_tags: list[str] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        open_tags.append(tag)
        if len(open_tags) > MAX_DEPTH:
            raise XmlError(f"elements are nested deeper than {MAX_DEPTH} levels")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        open_tags.pop()
        builder.end(tag)

    def refuse_entity(name: str, *_: object) -> None:
        raise XmlError(f"declares the entity {name!r}, wanted XML without entities")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = builder.data, refuse_entity
    try:
        parser.Parse(read_bytes(path), True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        if getattr(error, "code", None) not in CUT_OFF or not open_tags:
            raise XmlError(f"is not XML: {error}") from error
        log.warning(messages.DAMAGED_XML, path, "ends before its last end tags")
        for tag in reversed(open_tags):
            builder.end(tag)
    return builder.close()
