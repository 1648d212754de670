"""PDF, through Chromium's parser."""

import re
from typing import Any

import pypdfium2

from services.rag.readers.drafts import MAX_CHARS, Draft, Options, Unreadable, fitting

# A word divided at a line's end, as the parser marks it.
DIVIDED = re.compile("[\ufffe\u0002]\\s*")
LINE_END = re.compile(r"\r\n?")


def read(content: bytes, options: Options) -> list[Draft]:
    """Return all pages as one text, an empty line between them."""
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        is_locked = "password" in str(error).lower()
        reason = "it needs a password" if is_locked else "it is no PDF, or a broken one"
        raise Unreadable(reason) from None
    pages = len(document)
    if pages > options.max_pages:
        reason = f"it has {pages} pages and {options.max_pages} are allowed; cut it into parts"
        raise Unreadable(reason)
    texts, chars = [], 0
    for number in range(pages):
        texts.append(_page(document, number))
        chars += len(texts[-1])
        if chars > MAX_CHARS:
            reason = f"it holds more than {MAX_CHARS:,} characters; cut it into parts"
            raise Unreadable(reason, f"page {number + 1}")
    text = "\n\n".join(one for one in texts if one)
    if not text:
        reason = f"none of its {pages} pages holds text; a scan needs text recognition (OCR) first"
        raise Unreadable(reason)
    title = document.get_metadata_dict().get("Title", "")
    return [Draft(" ".join(title.split()), fitting(text))]


def _page(document: Any, number: int) -> str:
    try:
        page = document[number]
        text: str = page.get_textpage().get_text_bounded()
        page.close()
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"the page cannot be read: {error}", f"page {number + 1}") from None
    return DIVIDED.sub("", LINE_END.sub("\n", text)).strip()
