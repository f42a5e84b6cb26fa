"""Articles on towns that do not exist, all built alike, some with nearly the same name."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

STEMS = ("Alder", "Brack", "Corn", "Dun", "Elm", "Fal", "Gris", "Haver", "Inch", "Keld", "Lam",
         "Mor", "Nether", "Oak", "Pend")  # fmt: skip
ENDINGS = ("wick", "ford", "stead")

BETWEEN = (
    "Visitors come mainly in summer.",
    "The railway station was closed and opened again later.",
    "There is a weekly market.",
    "The surroundings are hilly.",
    "A cycling path leads through the town.",
    "The old town is protected as a whole.",
    "Buses run every hour.",
)

PARTS: dict[str, tuple[Fact, ...]] = {
    "Overview": (
        Fact(
            ("{town} has {people} inhabitants and lies on the river {river}.",
             "{town} is a town of {people} people by the {river}."),
            ("How many citizens live in {town}?", "What is the population of {town}?",
             "Which stream flows through {town}?"),
        ),
        Fact(
            ("The mayor is {person}.", "It is governed by mayor {person}."),
            ("Who heads the municipality of {town}?",),
        ),
    ),
    "History": (
        Fact(
            ("{town} is first mentioned in {year}.", "The oldest document that names {town} is of {year}."),
            ("How old is {town}?", "When did {town} first appear in records?"),
        ),
        Fact(
            ("In {year2} a {disaster} destroyed most of it.",
             "A {disaster} left little of it standing in {year2}."),
            ("What catastrophe struck {town}?",),
        ),
    ),
    "Economy": (
        Fact(
            ("The largest employer of {town} is a maker of {goods}.",
             "{town} lives on the production of {goods}."),
            ("What is manufactured in {town}?", "By which industry do people in {town} earn money?"),
        ),
        Fact(
            ("Unemployment stood at {percent} percent.", "{percent} percent were without work."),
            ("How many people in {town} are jobless?",),
        ),
    ),
    "Sights": (
        Fact(
            ("The {museum} museum of {town} is open from {opens} o'clock.",
             "{town} has a museum of {museum}, which opens at {opens} o'clock."),
            ("What can one see exhibited in {town}?",
             "From what hour can the collection in {town} be visited?"),
        ),
        Fact(
            ("The tower of the church is {metres} metres high.",
             "Its church has a steeple of {metres} metres."),
            ("How tall is the belfry of {town}?",),
        ),
    ),
}  # fmt: skip

RIVERS = ("Aune", "Brill", "Cald", "Deven", "Esk", "Frome", "Gade", "Hodder")
DISASTERS = ("fire", "flood", "landslide", "storm", "siege", "plague")
GOODS = (
    "clocks",
    "paper",
    "bicycles",
    "tiles",
    "cheese",
    "violins",
    "ropes",
    "cutlery",
    "glassware",
)
MUSEUMS = ("toy", "mining", "weaving", "shipbuilding", "fossil", "radio", "puppet", "salt")
FIRST = ("Alma", "Boris", "Celia", "Dirk", "Edda", "Felix", "Gilda", "Hugo", "Irma", "Jonas")
LAST = ("Abbott", "Barrow", "Crane", "Dale", "Ender", "Frost", "Gale", "Hale", "Ives", "Judd")


def documents(chance: Random) -> Iterator[Document]:
    """Every stem with every ending."""
    for stem in STEMS:
        for ending in ENDINGS:
            town = f"{stem}{ending}"
            chunks = [
                write(
                    chance,
                    facts,
                    _details(chance) | {"town": town, "part": part},
                    head="{town}: {part}" if chance.random() < 0.7 else "",
                    between=BETWEEN,
                )
                for part, facts in PARTS.items()
            ]
            yield Document(town, chunks)


def _details(chance: Random) -> dict[str, object]:
    return {
        "people": f"{chance.randint(2, 79)},{chance.randint(100, 999)}",
        "river": chance.choice(RIVERS),
        "person": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
        "year": chance.randint(780, 1390),
        "year2": chance.randint(1400, 1940),
        "disaster": chance.choice(DISASTERS),
        "goods": chance.choice(GOODS),
        "percent": f"{chance.randint(2, 14)}.{chance.randint(1, 9)}",
        "museum": chance.choice(MUSEUMS),
        "opens": chance.randint(8, 12),
        "metres": chance.randint(28, 96),
    }
