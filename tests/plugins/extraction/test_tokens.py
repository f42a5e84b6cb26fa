"""The rule that counts tokens stays near what OpenAI's own tokenizer counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from famulus_extraction.tokens import count

COUNTED: dict[str, tuple[int, str]] = {
    "English": (
        89,
        (
            "The harbour master kept two ledgers. In the first he wrote down every ship that came "
            "in, with its cargo and the weather; in the second, which nobody but he ever saw, he "
            "noted what the sailors said about the places they had come from. When the office was "
            "closed after forty years, the second ledger turned out to be the more useful of the "
            "two, because the ships were long gone, but the places were still there."
        ),
    ),
    "German": (
        123,
        (
            "Der Hafenmeister führte zwei Bücher. In das erste trug er jedes Schiff ein, das "
            "ankam, mit seiner Ladung und dem Wetter; in das zweite, das außer ihm niemand zu "
            "sehen bekam, schrieb er, was die Matrosen über die Orte erzählten, aus denen sie "
            "kamen. Als die Behörde nach vierzig Jahren geschlossen wurde, erwies sich das zweite "
            "Buch als das nützlichere, denn die Schiffe waren längst verschwunden, die Orte aber "
            "gab es noch."
        ),
    ),
    "French": (
        103,
        (
            "Le maître du port tenait deux registres. Dans le premier, il inscrivait chaque "
            "navire qui arrivait, avec sa cargaison et le temps qu'il faisait ; dans le second, "
            "que personne d'autre ne voyait jamais, il notait ce que les marins racontaient des "
            "endroits d'où ils venaient. Quand le bureau ferma après quarante ans, le second "
            "registre se révéla le plus utile des deux."
        ),
    ),
    "Chinese": (
        124,
        (
            "港务长有两本账簿。第一本记下每一艘进港的船，连同它的货物和当天的天气；第二本除了"
            "他自己谁也没有见过，里面写的是水手们讲述的远方的事情。四十年以后办公室关闭了，人"
            "们发现第二本更有用，因为船早已不在，而那些地方还在那里。"
        ),
    ),
    "Russian": (
        135,
        (
            "Начальник порта вёл две книги. В первую он записывал каждый корабль, который "
            "приходил, вместе с грузом и погодой; во вторую, которую никто, кроме него, не видел, "
            "он записывал рассказы моряков о местах, откуда они прибыли. Когда через сорок лет "
            "контору закрыли, вторая книга оказалась полезнее первой."
        ),
    ),
    "Python": (
        121,
        (
            "def arrivals(path: Path, *, since: date) -> Iterator[Ship]:\n"
            '    """Ships that came in on or after a day, in the order of the ledger."""\n'
            '    with path.open(encoding="utf-8") as ledger:\n'
            "        for number, line in enumerate(ledger, start=1):\n"
            '            if not line.strip() or line.startswith("#"):\n'
            "                continue\n"
            '            day, name, cargo = line.rstrip().split("\\t", maxsplit=2)\n'
            "            if date.fromisoformat(day) >= since:\n"
            "                yield Ship(name=name, cargo=cargo, line=number)\n"
        ),
    ),
    "JavaScript": (
        93,
        (
            "export async function loadShips(url, { signal, limit = 100 } = {}) {\n"
            "  const response = await fetch(`${url}?limit=${limit}`, { signal });\n"
            "  if (!response.ok) {\n"
            "    throw new Error(`The ledger answered ${response.status}`);\n"
            "  }\n"
            "  const { data } = await response.json();\n"
            "  return data.filter((ship) => ship.cargo !== null)"
            ".map(({ id, name }) => [id, name]);\n"
            "}\n"
        ),
    ),
}
"""Texts of ours, and how many tokens of `cl100k_base` they are, counted once."""


@pytest.mark.parametrize("language", COUNTED)
def test_the_rule_is_near_the_tokenizer(language: str) -> None:
    tokens, text = COUNTED[language]
    assert count(text) == pytest.approx(tokens, rel=0.15)


@given(st.text())
def test_every_text_can_be_counted(text: str) -> None:
    assert 0 <= count(text) <= 4 * len(text)
    assert count(text + "end") > 0
