"""Minutes of a council that meets every month and takes up the same matters again and again."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip
YEARS = (2021, 2022, 2023)
BODIES = ("Harbour Committee", "School Board", "Parks Council")

BETWEEN = (
    "The chair thanked everybody for coming.",
    "A member asked for more figures until the next meeting.",
    "The discussion took half an hour.",
    "There were no objections to the agenda.",
    "Two members were excused.",
    "The matter will be taken up again.",
    "The clerk took note of a remark from the public.",
)

MATTERS: dict[str, tuple[Fact, ...]] = {
    "Repairs": (
        Fact(
            ("It was decided to have the {object} repaired by {firm} for {amount} euros.",
             "{firm} is commissioned to mend the {object} at a price of {amount} euros."),
            ("Which contractor fixes the {object} according to the {body}, {month} {year}?",
             "What does the restoration of the {object} cost that the {body} ordered in {month} {year}?"),
        ),
    ),
    "Elections": (
        Fact(
            ("{person} was elected treasurer with {votes} votes.",
             "With {votes} votes, {person} became the new treasurer."),
            ("Who looks after the money of the {body} since {month} {year}?",
             "Outcome of the vote on the treasurer, {body}, {month} {year}?"),
        ),
    ),
    "Budget": (
        Fact(
            ("The budget for {purpose} is raised to {amount} euros.",
             "{amount} euros are set aside for {purpose}."),
            ("How much may be spent on {purpose} after the {body}'s meeting of {month} {year}?",),
        ),
        Fact(
            ("{person} voted against it.", "The only vote against came from {person}."),
            ("Who opposed the spending on {purpose} in the {body} in {month} {year}?",),
        ),
    ),
    "Complaints": (
        Fact(
            ("Neighbours complained about {nuisance}; {person} will look into it.",
             "{person} is to investigate the complaints about {nuisance}."),
            ("Who was asked to deal with {nuisance} by the {body} in {month} {year}?",
             "Who follows up on what residents said about {nuisance} ({body}, {year})?"),
        ),
    ),
    "Next steps": (
        Fact(
            ("{person} presents a plan for the {object} by the {day}th.",
             "A plan for the {object} is due from {person} on the {day}th."),
            ("By which date will there be a concept for the {object}, {body} {month} {year}?",
             "Who was tasked by the {body} with a proposal on the {object} in {month} {year}?"),
        ),
    ),
}  # fmt: skip

OBJECTS = ("east pier", "gymnasium roof", "rose garden", "crane", "swimming hall", "fountain",
           "boat ramp", "library windows", "playground", "lighthouse stairs", "canteen kitchen",
           "bandstand", "slipway", "bicycle shed", "duck pond", "fog signal")  # fmt: skip
FIRMS = ("Aldous & Sons", "Kranz Bau", "Riverside Works", "Petrov Stone", "Northgate Builders",
         "Sutter Roofing", "Ibsen Marine", "Greenhand Ltd")  # fmt: skip
PURPOSES = ("new books", "tree planting", "dredging", "sports days", "signposts", "night watch",
            "music lessons", "benches", "buoys", "winter service", "solar panels", "insurance")  # fmt: skip
NUISANCES = ("barking dogs", "engine noise at night", "blocked driveways", "the smell of fish",
             "loud school bells", "broken glass", "fireworks", "wasps", "overflowing bins",
             "speeding scooters")  # fmt: skip
PEOPLE = ("Mrs Abara", "Mr Blom", "Ms Castellan", "Mr Dvorak", "Mrs Eklund", "Mr Fairley",
          "Ms Gantz", "Mr Hollis", "Mrs Ito", "Mr Jessop", "Ms Kowal", "Mr Lindqvist")  # fmt: skip


def documents(chance: Random) -> Iterator[Document]:
    """A meeting every other month."""
    for body in BODIES:
        for year in YEARS:
            for month in MONTHS[::2] if year == 2022 else MONTHS[1::3]:
                yield _meeting(chance, body, month, year)


def _meeting(chance: Random, body: str, month: str, year: int) -> Document:
    day = chance.randint(1, 28)
    chunks = [
        write(
            chance,
            facts,
            _details(chance) | {"body": body, "month": month, "year": year, "matter": matter},
            head=f"{body}, minutes of {day} {month} {year}\nItem {number}: {matter}",
            between=BETWEEN,
        )
        for number, (matter, facts) in enumerate(MATTERS.items(), 1)
    ]
    return Document(f"{body} minutes {day} {month} {year}", chunks)


def _details(chance: Random) -> dict[str, object]:
    return {
        "object": chance.choice(OBJECTS),
        "firm": chance.choice(FIRMS),
        "amount": f"{chance.randint(2, 95)},{chance.randint(1, 9)}00",
        "person": chance.choice(PEOPLE),
        "votes": chance.randint(6, 19),
        "purpose": chance.choice(PURPOSES),
        "nuisance": chance.choice(NUISANCES),
        "day": chance.randint(11, 19),
    }
