"""A report as PDF: figures with their definitions, pictures of the counts by day, tables. Loaded when one is made."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from agents.reporting import document as documents
from agents.reporting.document import NOTHING, Cell, Document, Plot

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
MOST_LABELS = 10
DASH = "–"
INK, FAINT, LINE, BAR = (colors.HexColor(code) for code in ("#1c2430", "#5b6675", "#c9d0d9", "#2f6fb2"))
FIGURES = (0.27, 0.13, 0.12, 0.48)


@cache
def fonts() -> tuple[str, str]:
    """Regular and bold, with the letters of most alphabets: those that matplotlib brings. It is not loaded for them."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        return "Helvetica", "Helvetica-Bold"
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    for name, file in (("Report", "DejaVuSans.ttf"), ("Report-Bold", "DejaVuSans-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    return "Report", "Report-Bold"


def of(document: Document) -> bytes:
    out = io.BytesIO()
    page = SimpleDocTemplate(
        out, pagesize=A4, title=document.title, author="Bellwether", subject=document.site,
        leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN, invariant=1,
    )  # fmt: skip
    page.build(_story(document), onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _foot(canvas: Any, page: Any) -> None:
    canvas.setFont(fonts()[0], 7)
    canvas.setFillColor(FAINT)
    canvas.drawRightString(A4[0] - MARGIN, MARGIN / 2, f"page {page.page}")


def _style(size: float, *, bold: bool = False, color: Any = INK, before: float = 0) -> ParagraphStyle:
    return ParagraphStyle(
        f"{size}{bold}{color}", fontName=fonts()[bold], fontSize=size, leading=size * 1.3, textColor=color,
        spaceBefore=before, spaceAfter=2, splitLongWords=True,
    )  # fmt: skip


def _text(words: str, style: ParagraphStyle) -> Paragraph:
    return Paragraph(escape(words), style)


def _story(document: Document) -> list[Any]:
    small, head = _style(8, color=FAINT), _style(11, bold=True, before=10)
    span = f"{document.start:%Y-%m-%d %H:%M} to {document.end:%Y-%m-%d %H:%M} ({document.zone})"
    story: list[Any] = [
        _text(document.title, _style(17, bold=True)), _text(document.site, _style(11)), _text(span, small),
    ]  # fmt: skip
    if document.is_empty:
        story.append(_text(NOTHING, _style(11, before=10)))
    story += [_text("Figures", head), _figures(document)]
    for plot in document.plots:
        story += [_text(plot.title, head), _picture(plot)]
    for table in document.tables:
        story.append(_text(table.title, head))
        story.append(_table(table.columns, table.rows) if table.rows else _text(NOTHING, small))
    return story


def _figures(document: Document) -> Table:
    rows = [(one.title, one.value, one.unit, one.definition) for one in document.figures]
    return _table(("Figure", "Value", "Unit", "Definition"), rows, widths=[share * WIDTH for share in FIGURES])


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], widths: list[float] | None = None) -> Table:
    usual, bold = _style(7.5), _style(7.5, bold=True)
    cells = [[_text(column, bold) for column in columns]]
    cells += [[_text(documents.written(cell) or DASH, usual) for cell in row] for row in rows]
    table = Table(cells, colWidths=widths or [WIDTH / len(columns)] * len(columns), repeatRows=1)
    table.setStyle(
        TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE), ("VALIGN", (0, 0), (-1, -1), "TOP"),
                    ("LEFTPADDING", (0, 0), (-1, -1), 2), ("RIGHTPADDING", (0, 0), (-1, -1), 4)])
    )  # fmt: skip
    return table


def _picture(plot: Plot) -> Any:
    if not any(plot.values):
        return _text(NOTHING, _style(8, color=FAINT))
    drawing, chart = Drawing(WIDTH, 130), VerticalBarChart()
    chart.x, chart.y, chart.width, chart.height = 40, 24, WIDTH - 50, 96
    chart.data = [tuple(plot.values)]
    every = -(-len(plot.labels) // MOST_LABELS)
    chart.categoryAxis.categoryNames = [
        label if n % every == 0 else "" for n, label in enumerate(plot.labels)
    ]  # fmt: skip
    chart.valueAxis.valueMin = 0
    chart.groupSpacing = 2 if len(plot.labels) <= 60 else 0
    chart.bars[0].fillColor, chart.bars[0].strokeColor = BAR, None
    for axis in (chart.categoryAxis, chart.valueAxis):
        axis.labels.fontName, axis.labels.fontSize, axis.labels.fillColor = fonts()[0], 6, FAINT
        axis.strokeColor = LINE
    drawing.add(chart)
    return Spacer(0, 0) if not plot.labels else drawing
