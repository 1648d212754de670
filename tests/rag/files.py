"""Small real files: PDF with text, Word, an archive that unpacks to far more than it is."""

import io
import zipfile

import docx
import pypdfium2
import pypdfium2.raw as pdfium


def pdf(*pages: str) -> bytes:
    """Write a page per text, in a standard font."""
    document = pypdfium2.PdfDocument.new()
    for text in pages:
        page = document.new_page(300, 300)
        if text:
            line = pdfium.FPDFPageObj_NewTextObj(document, b"Helvetica", 12.0)
            wide = (text + "\0").encode("utf-16-le")
            pdfium.FPDFText_SetText(line, pdfium.cast(wide, pdfium.POINTER(pdfium.c_ushort)))
            pdfium.FPDFPageObj_Transform(line, 1, 0, 0, 1, 20, 200)
            pdfium.FPDFPage_InsertObject(page, line)
        page.gen_content()
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def word() -> bytes:
    """Write a heading, a paragraph, a list and a table."""
    document = docx.Document()
    document.add_heading("Guía de la clínica", level=1)
    document.add_paragraph("Abrimos a las ocho. 🐈")
    document.add_paragraph("Trae tu tarjeta.", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        [cell for row in table.rows for cell in row.cells],
        ["Día", "Hora", "Lunes", "8:00"],
        strict=True,
    ):
        cell.text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def bomb(mebibytes: int) -> bytes:
    """Pack so many MiB of zeros into an archive of kilobytes that calls itself a Word document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * mebibytes * 2**20)
    return buffer.getvalue()


HTML = """<!doctype html><html><head><meta charset="utf-8"><title>Öffnungszeiten &amp; mehr</title>
<script>var hidden = 1;</script><style>p {color: red}</style></head><body><nav>Menu</nav>
<h1>Hours</h1><p>We open   at <b>eight</b>.</p><ul><li>Monday</li><li>Tuesday</li></ul>
<table><tr><th>Day</th><th>Hour</th></tr><tr><td>Friday</td><td>9</td></tr></table>
<pre>keep
  this</pre><footer>Imprint</footer></body></html>"""
