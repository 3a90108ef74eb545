"""Search queries as shoppers type them: words that fit the item, some of them mistyped."""

from __future__ import annotations

import numpy as np

from tfrs_augment.datasets import interactions

# What a shopper names of the item sought, and how often.
NOUN_RATE, COLOUR_RATE, BRAND_RATE, WORD_RATE = 0.75, 0.35, 0.25, 0.4
_TITLE_WORDS = 3
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class QueryMaker:
    """Writes queries for the items of a catalogue.

    A query names the category, the colour, the brand and up to three words of the title, each with
    its own rate and in any order; one that would name nothing names the category. A mistyped word
    has one error of four equally frequent kinds: a letter left out, a letter doubled, two
    neighbours swapped, or a letter replaced by its neighbour on the keyboard.

    Args:
      items: a catalogue with the columns of the simulated shop.
    """

    def __init__(self, items: interactions.Table):
        title = items["item_title_words"]
        lengths = title.row_lengths()
        # The last word of a title is the category, which has its own slot.
        place = title.row_splits[:-1, None] + np.arange(_TITLE_WORDS)
        inside = np.arange(_TITLE_WORDS) < lengths[:, None] - 1
        words = title.values[np.where(inside, place, 0)]
        named = [items["item_category"], items["item_colour"], items["item_brand"]]
        columns = np.concatenate([np.stack(named, axis=1), words], axis=1)
        vocabulary, slots = np.unique(columns, return_inverse=True)
        self._slots = slots.reshape(columns.shape)
        self._rates = np.broadcast_to(
            [NOUN_RATE, COLOUR_RATE, BRAND_RATE, *[WORD_RATE] * _TITLE_WORDS], columns.shape
        ) * np.concatenate([np.ones((len(lengths), 3)), inside], axis=1)
        # A typo can make a word one letter longer.
        self._letters = _as_letters(vocabulary, vocabulary.dtype.itemsize + 1)

    def make(
        self, rng: np.random.Generator, item: np.ndarray, typo_rate: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns bytes `[n]`: the queries as typed, and as intended, word for word.

        Args:
          rng: where the draws come from.
          item: int64 `[n]`, the places of the items in the catalogue.
          typo_rate: float `[n]`, the chance of a word to be mistyped.
        """
        named = rng.random((len(item), self._rates.shape[1])) < self._rates[item]
        named[:, 0] |= ~named.any(axis=1)
        # In any order, and the unnamed slots last.
        order = np.argsort(np.where(named, rng.random(named.shape), 2.0), axis=1)
        slots = np.take_along_axis(self._slots[item], order, axis=1)
        named = np.take_along_axis(named, order, axis=1)
        intended = self._letters[slots] * named[..., None]
        typed = intended.copy()
        wrong = named & (rng.random(named.shape) < typo_rate[:, None])
        typed[wrong] = mistype(rng, intended[wrong])
        return _join(typed), _join(intended)


def mistype(rng: np.random.Generator, words: np.ndarray) -> np.ndarray:
    """Returns the words with one typing error each.

    Args:
      rng: where the draws come from.
      words: uint8 `[n, width]`, the letters of a word, then zeros, and at least one zero.
    """
    count, width = words.shape
    length = (words != 0).sum(axis=1)
    kind = rng.integers(0, 4, count)
    # A swap needs a letter after its own.
    place = (rng.random(count) * np.maximum(length - (kind == 2), 1)).astype(np.int64)
    column = np.arange(width)
    at, after = column == place[:, None], column > place[:, None]
    dropped = np.take_along_axis(words, np.minimum(column + (at | after), width - 1), axis=1)
    doubled = np.take_along_axis(words, column - after, axis=1)
    swapped = np.take_along_axis(
        words, np.minimum(column + at - (column == place[:, None] + 1), width - 1), axis=1
    )
    replaced = np.where(at, _NEIGHBOURS[words, rng.integers(0, 2, count)[:, None]], words)
    result = np.choose(kind[:, None], [dropped, doubled, swapped, replaced])
    # Equal neighbours swapped are no error, and a one-letter word has no neighbours.
    same = (result == words).all(axis=1)
    return np.where(same[:, None], doubled, result).astype(np.uint8)


def _neighbours() -> np.ndarray:
    """Returns uint8 `[256, 2]`: the letters left and right of a letter on the keyboard."""
    table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 2, axis=1)
    for row in _KEYBOARD:
        for i, letter in enumerate(row):
            sides = (row[i - 1] if i else row[1], row[i + 1] if i + 1 < len(row) else row[-2])
            table[ord(letter)] = [ord(side) for side in sides]
    return table


_NEIGHBOURS = _neighbours()


def _as_letters(words: np.ndarray, width: int) -> np.ndarray:
    """Returns uint8 `[n, width]` of bytes `[n]`."""
    return words.astype(f"S{width}").view(np.uint8).reshape(len(words), width)


def _join(words: np.ndarray) -> np.ndarray:
    """Returns bytes `[n]` of letters `[n, slots, width]`: the words with a blank between two."""
    count, slots, width = words.shape
    blank = np.full((count, slots, 1), ord(" "), np.uint8) * (words[..., :1] != 0)
    blank[:, 0] = 0
    letters = np.concatenate([blank, words], axis=2).reshape(count, slots * (width + 1))
    used = letters != 0
    text = np.zeros((count, max(used.sum(axis=1).max(initial=0), 1)), np.uint8)
    text[np.nonzero(used)[0], (used.cumsum(axis=1) - 1)[used]] = letters[used]
    return text.view(f"S{text.shape[1]}")[:, 0]
