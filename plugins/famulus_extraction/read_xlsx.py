"""Reads Excel's workbooks, sheet by sheet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any

from famulus_extraction.archives import check_office
from famulus_extraction.unreadable import damaged_otherwise
from famulus_schemas.retrieval import Section

WHAT = "an Excel workbook"
ROWS_A_SECTION = 500


def sections(path: Path) -> Iterator[Section]:
    """Rows line by line and cells by tabs, under the name of their sheet.

    Of a formula, the value that it had when the file was saved.
    """
    from openpyxl import load_workbook

    check_office(path, holds="xl/workbook.xml", what=WHAT)
    # Opened here, since by a path it goes by the name.
    with damaged_otherwise(WHAT), path.open("rb") as file:
        workbook = load_workbook(file, read_only=True, data_only=True)
        for sheet in workbook.worksheets:
            # What a sheet says of its own size is not to be believed.
            sheet.reset_dimensions()
            lines: list[str] = []
            for row in sheet.iter_rows(values_only=True):
                line = "\t".join(_said(value) for value in row).rstrip("\t")
                if line.strip():
                    lines.append(f"{line}\n")
                if len(lines) >= ROWS_A_SECTION:
                    yield Section(text="".join(lines), heading=sheet.title)
                    lines = []
            if lines:
                yield Section(text="".join(lines), heading=sheet.title)


def _said(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        text = value.isoformat(" ", "seconds")
        return text.removesuffix(" 00:00:00")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, time):
        return value.isoformat("seconds")
    return " ".join(str(value).split())
