"""Contracts of the same few forms, between different parties."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from corpus.written import Document, Fact, write

FORMS = ("Lease Agreement", "Software Licence", "Supply Agreement", "Service Agreement")
PARTIES = (
    "Halvorsen Metals", "Pinecrest Clinics", "Aurelia Fashion", "Dunmore Quarries", "Sable Logistics",
    "Verdant Farms", "Corvus Analytics", "Marlow Theatres", "Istria Foods", "Bluestone Bank",
    "Ferrum Castings", "Larkspur Hotels", "Tidewater Energy", "Meridian Maps", "Opaline Glass",
    "Juniper Schools", "Rookwood Press", "Saffron Kitchens", "Wexford Dental", "Yarrow Pharma",
)  # fmt: skip

BETWEEN = (
    "Headings are for convenience only.",
    "The parties have read and understood this clause.",
    "Amendments are valid in writing only.",
    "If a provision is invalid, the others stay in force.",
    "Neither party may assign this contract without the other's consent.",
    "Notices are sent by registered mail.",
    "This clause survives the end of the contract.",
)

CLAUSES: dict[str, tuple[Fact, ...]] = {
    "Term and termination": (
        Fact(
            ("The contract runs for {years} years from the date of signature.",
             "Its initial term is {years} years."),
            ("How long does the {form} between {one} and {other} last?",),
        ),
        Fact(
            ("It may be terminated with {days} days' notice.",
             "Either party can end it by giving notice of {days} days."),
            ("What is the cancellation period in the contract of {one} with {other}?",
             "How many days ahead must {one} cancel the {form} with {other}?"),
        ),
    ),
    "Payment": (
        Fact(
            ("Invoices are due within {days} days of receipt.",
             "Payment shall be made no later than {days} days after the invoice."),
            ("When does {other} have to pay the bills of {one}?",
             "Payment target agreed by {one} and {other}?"),
        ),
        Fact(
            ("Late payments bear interest of {percent} percent per annum.",
             "On arrears, interest of {percent} percent a year is owed."),
            ("What happens financially if {other} settles too late with {one}?",),
        ),
    ),
    "Liability": (
        Fact(
            ("Total liability is limited to {amount} euros.",
             "Neither party is liable for more than {amount} euros in all."),
            ("Up to what sum do {one} and {other} answer for damages?",
             "What is the liability cap in {one}'s {form} with {other}?"),
        ),
        Fact(
            ("Loss of profit and indirect damage are excluded.",
             "There is no compensation for lost profits."),
            (),
        ),
    ),
    "Confidentiality": (
        Fact(
            ("Confidential information is kept secret for {years} years after the end.",
             "The duty of secrecy continues for {years} years."),
            ("For how many years must {one} not disclose what it learned from {other}?",),
        ),
        Fact(
            ("Each breach costs a penalty of {amount} euros.",
             "For every violation {amount} euros are forfeited."),
            ("What fine is foreseen when {other} leaks secrets of {one}?",),
        ),
    ),
    "Governing law": (
        Fact(
            ("This contract is governed by the law of {country}.", "The law of {country} applies."),
            ("Which country's legislation rules the deal of {one} and {other}?",),
        ),
        Fact(
            ("The courts of {city} have exclusive jurisdiction.",
             "Disputes are decided by the courts of {city}."),
            ("Where would {one} sue {other}?",
             "Venue for lawsuits under the {form} of {one} and {other}?"),
        ),
    ),
    "Insurance": (
        Fact(
            ("Insurance cover of at least {amount} euros is maintained throughout.",
             "The supplier keeps a policy over {amount} euros."),
            ("What coverage must {one} hold under the {form} with {other}?",),
        ),
        Fact(
            ("Proof is shown each {month}.", "The certificate is presented every {month}."),
            ("In which month does {other} get to see the policy of {one}?",),
        ),
    ),
    "Delivery and acceptance": (
        Fact(
            ("Acceptance is deemed given after {days} days without complaint.",
             "What is not objected to within {days} days counts as accepted."),
            ("How long can {other} complain about what {one} handed over?",),
        ),
        Fact(
            ("For each week of delay {percent} percent of the price are deducted.",
             "Delay reduces the price by {percent} percent a week."),
            ("What discount follows if {one} is late with its delivery to {other}?",),
        ),
    ),
    "Contacts": (
        Fact(
            ("{person} acts for {one} in all matters of this contract.",
             "The representative of {one} is {person}."),
            ("Who speaks for {one} towards {other}?",
             "Contact person at {one} in the {form} with {other}?"),
        ),
        Fact(
            ("{other} is represented by its director {person2}.",
             "For {other}, its director {person2} signs."),
            ("Who put their signature under the contract with {one} on behalf of {other}?",),
        ),
    ),
}  # fmt: skip

COUNTRIES = (
    "Austria",
    "Denmark",
    "Portugal",
    "Estonia",
    "Ireland",
    "Switzerland",
    "Norway",
    "Malta",
)
CITIES = (
    "Graz",
    "Aarhus",
    "Porto",
    "Tartu",
    "Cork",
    "Basel",
    "Bergen",
    "Valletta",
    "Ghent",
    "Turin",
)
MONTHS = ("March", "June", "September", "December", "January", "October")
FIRST = ("Anders", "Beatriz", "Colm", "Dagny", "Elio", "Freya", "Goran", "Hanne", "Ivo", "Jutta",
         "Kaspar", "Lene", "Milan", "Nadia", "Otto", "Paula")  # fmt: skip
LAST = ("Aas", "Bello", "Corrigan", "Dahl", "Egger", "Fonseca", "Gruber", "Hauge", "Isaksen",
        "Jansen", "Kask", "Lepik", "Murphy", "Nunes", "Orsini", "Pichler")  # fmt: skip


def documents(chance: Random) -> Iterator[Document]:
    """Each company with two others."""
    pairs = [
        (one, PARTIES[(place + step) % len(PARTIES)])
        for place, one in enumerate(PARTIES)
        for step in (1, 7)
    ]
    for one, other in pairs[:26]:
        form = chance.choice(FORMS)
        chunks = []
        for number, (clause, facts) in enumerate(CLAUSES.items(), 1):
            names = _details(chance) | {"one": one, "other": other, "form": form}
            chunks.append(
                write(
                    chance,
                    facts,
                    names | {"clause": clause, "number": number},
                    head="{form} between {one} and {other}\n§ {number} {clause}",
                    between=BETWEEN,
                )
            )
        yield Document(f"{form} {one} / {other}", chunks)


def _details(chance: Random) -> dict[str, object]:
    return {
        "years": chance.randint(1, 10),
        "days": chance.choice((7, 10, 14, 21, 30, 45, 60, 90)),
        "percent": chance.choice((0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 9)),
        "amount": f"{chance.randint(2, 90) * 25},000",
        "country": chance.choice(COUNTRIES),
        "city": chance.choice(CITIES),
        "month": chance.choice(MONTHS),
        "person": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
        "person2": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
    }
