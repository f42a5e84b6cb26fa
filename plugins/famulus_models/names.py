"""From the name that a client uses to the models that may answer for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from famulus_models.catalog import Listing, Served
from famulus_models.settings import ModelsSettings
from famulus_schemas.inference import ModelCard

RETIRED = re.compile(r"gpt-3\.5|gpt-4|chatgpt-|o[134](-|$)|text-davinci-")
"""Chat models of OpenAI that are gone, or about to go: what code for the Assistants API names."""


class Names:
    """Aliases, fallbacks and the rule for retired names."""

    def __init__(self, settings: ModelsSettings) -> None:
        self._settings = settings

    def resolve(self, listing: Listing, model: str) -> Served | None:
        """The model that the name stands for, if it stands for one."""
        name = self._unaliased(model)
        found = listing.named(name)
        if found is None and self.is_retired(name):
            found = self._default(listing)
        return found

    def is_retired(self, model: str) -> bool:
        """Whether the name is one of those that go to the default model."""
        return self._settings.retired_models_to_default and RETIRED.match(model) is not None

    def candidates(self, listing: Listing, model: str) -> Sequence[Served]:
        """The model and its fallbacks, in the order in which to ask them."""
        first = self.resolve(listing, model)
        wanted = [first]
        name = self._unaliased(model)
        fallbacks = self._settings.fallbacks
        further = fallbacks.get(model) or fallbacks.get(name)
        if further is None and first is not None:
            further = fallbacks.get(first.card.id)
        wanted += [self.resolve(listing, each) for each in further or ()]
        found: list[Served] = []
        for one in wanted:
            if one is not None and one not in found:
                found.append(one)
        return found

    def cards(self, listing: Listing) -> list[ModelCard]:
        """All models in the order of their servers, then the aliases that lead to one."""
        cards = [
            msgspec.structs.replace(served.card, id=name, sees=self.sees(name, served))
            for name, served in listing.models.items()
        ]
        for alias in self._settings.aliases:
            served = self.resolve(listing, alias)
            if served is not None and alias not in listing.models:
                cards.append(self.card(alias, served))
        return cards

    def card(self, model: str, served: Served) -> ModelCard:
        """The model's card under the name that it was asked for by."""
        own = served.card.id
        card = msgspec.structs.replace(served.card, id=model, sees=self.sees(model, served))
        if model in (own, f"{served.card.backend}/{own}"):
            return card
        return msgspec.structs.replace(card, alias_of=own)

    def sees(self, model: str, served: Served) -> bool | None:
        """Whether the model can be shown pictures under the name that it was asked for by.

        What is set for a name goes before what is set for what it stands for.
        """
        vision, card = self._settings.vision, served.card
        names: list[str | None] = [model]
        while (name := self._settings.aliases.get(names[-1] or "")) is not None:
            names.append(name)
        names += [f"{card.backend}/{card.id}", card.id]
        return next((vision[name] for name in names if name in vision), card.sees)

    def _unaliased(self, model: str) -> str:
        # Settings refuse circles, so this ends.
        while (name := self._settings.aliases.get(model)) is not None:
            model = name
        return model

    def _default(self, listing: Listing) -> Served | None:
        default = self._settings.default_model
        if default is not None:
            return listing.named(self._unaliased(default))
        chatting = [served for served in listing.models.values() if served.card.chats]
        # Of several, nobody can say which was meant.
        return chatting[0] if len(chatting) == 1 else None
