"""HTML as text: headings, lists and tables keep their form, what no reader sees is left out."""

import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser, LexborNode

from services.rag.readers.drafts import Draft, Options, Unreadable, fitting
from services.rag.readers.texts import decoded

UNSEEN = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "head",
        "nav",
        "footer",
        "form",
        "button",
        "select",
    ]
)
BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "tfoot",
        "thead",
        "tr",
        "ul",
    ]
)
CELLS = frozenset(("td", "th"))
CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]{2,40})", re.IGNORECASE)
SPACE = re.compile(r"[^\S\n]+")
ONE_LINE = frozenset(("li", "tr", "dt", "dd", "br"))


@dataclass
class _Page:
    """The text as far as it is read."""

    parts: list[str] = field(default_factory=list)
    preformatted: int = 0

    def add(self, text: str) -> None:
        self.parts.append(text if self.preformatted else re.sub(r"\s+", " ", text))


def read(content: bytes, options: Options) -> list[Draft]:
    """Return the page as one text with its title."""
    stated = CHARSET.search(content[:4096])
    encoding = options.encoding or (stated.group(1).decode() if stated else None)
    try:
        html = decoded(content, encoding)
    except LookupError:
        raise Unreadable(f"its encoding {encoding!r} is unknown") from None
    tree = LexborHTMLParser(html)
    title = tree.css_first("title") or tree.css_first("h1")
    text = _text(tree.root)
    if not text:
        raise Unreadable("it holds no text")
    name = " ".join(title.text().split()) if title is not None else ""
    return [Draft(name, fitting(text))]


def _text(root: LexborNode | None) -> str:
    """Walk the tree without recursion: pages may be nested as deep as they like."""
    page = _Page()
    stack: list[tuple[LexborNode, bool]] = [(root, False)] if root is not None else []
    while stack:
        node, is_left = stack.pop()
        tag = node.tag or ""
        if is_left:
            _leave(page, tag)
            continue
        if node.is_text_node:
            page.add(node.text_content or "")
        elif tag not in UNSEEN and not tag.startswith(("-", "!")):
            _enter(page, tag)
            stack.append((node, True))
            child = node.last_child
            while child is not None:
                stack.append((child, False))
                child = child.prev
    return _tidy("".join(page.parts))


def _enter(page: _Page, tag: str) -> None:
    if tag in BLOCKS or tag == "br":
        page.parts.append("\n" if tag in ONE_LINE else "\n\n")
    if tag == "pre":
        page.preformatted += 1
    elif tag == "li":
        page.parts.append("- ")
    elif tag in CELLS:
        page.parts.append(" | ")
    elif len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        page.parts.append("#" * int(tag[1]) + " ")


def _leave(page: _Page, tag: str) -> None:
    if tag == "pre":
        page.preformatted -= 1
    if tag in BLOCKS and tag not in ONE_LINE:
        page.parts.append("\n\n")


def _tidy(text: str) -> str:
    """Strip lines, and leave one empty line at most between them."""
    lines = [SPACE.sub(" ", line).strip() for line in text.split("\n")]
    kept = [re.sub(r"^\|\s*", "", line) for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
