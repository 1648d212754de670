"""Word documents (.docx)."""

import io
import re
import zipfile

import docx
from docx.document import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from docx.text.paragraph import Paragraph

from services.rag.readers.drafts import Draft, Options, Unreadable, fitting

MAX_UNPACKED = 200 * 2**20
MAX_RATIO = 200  # XML packs to a tenth; a hundredth is a bomb or a joke ...
RATIO_FROM = 10 * 2**20  # ... unless it is small anyway
HEADING = re.compile(r"heading (\d)", re.IGNORECASE)


def read(content: bytes, _: Options) -> list[Draft]:
    """Return headings, paragraphs, lists and tables in their order."""
    _check_size(content)
    try:
        document = docx.Document(io.BytesIO(content))
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise Unreadable(f"it is no Word document ({type(error).__name__})") from None
    blocks: list[str] = []
    for number, block in enumerate(document.iter_inner_content(), start=1):
        try:
            text = _table(block) if isinstance(block, Table) else _paragraph(block)
        except (KeyError, ValueError, IndexError) as error:
            reason = f"it cannot be read ({type(error).__name__})"
            raise Unreadable(reason, f"block {number}") from None
        if text:
            blocks.append(text)
    text = "\n\n".join(blocks)
    if not text:
        raise Unreadable("it holds no text")
    return [Draft(_title(document, blocks), fitting(text))]


def _check_size(content: bytes) -> None:
    """Refuse an archive that unpacks to far more than it is."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
    except zipfile.BadZipFile:
        raise Unreadable("it is no Word document: .docx files are archives") from None
    is_bomb = unpacked > RATIO_FROM and unpacked > MAX_RATIO * len(content)
    if unpacked > MAX_UNPACKED or is_bomb:
        raise Unreadable(f"it unpacks to {unpacked / 2**20:.0f} MiB, which is too much")


def _paragraph(paragraph: Paragraph) -> str:
    text = paragraph.text.strip()
    if not text:
        return ""
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    if found := HEADING.match(style):
        return f"{'#' * int(found.group(1))} {text}"
    if style == "Title":
        return f"# {text}"
    return f"- {text}" if style.startswith("List") else text


def _table(table: Table) -> str:
    rows = [[" ".join(cell.text.split()) for cell in row.cells] for row in table.rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows if any(row))


def _title(document: Document, blocks: list[str]) -> str:
    stated = " ".join((document.core_properties.title or "").split())
    first = blocks[0]
    return stated or (first.strip("# ") if first.startswith("#") else "")
