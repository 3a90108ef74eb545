"""Synthesized rows put back among the tables that they came from."""

from __future__ import annotations

from tfrs_augment.datasets.interactions import Interactions
from tfrs_augment.synthesis.columns import Table


def join(rows: Table, data: Interactions) -> Interactions:
    """Puts synthesized rows in the place of those of some data.

    Args:
      rows: of a synthesizer that was fitted on `data`, or on a part of its rows.
      data: its tables are kept; their features, ragged ones among them, are joined by the ids.

    Returns:
      Interactions with the catalogue and the users of `data`, as models and `write_tfrecords` take them.

    Raises:
      DataError: a column is missing, the timestamp among them, or an id is unknown.

    Example:
      >>> import tfrs_augment as aug
      >>> shop = aug.datasets.simulated_shop("tiny")
      >>> rows = aug.synthesis.PopularitySampler().fit(shop).sample(10)
      >>> aug.synthesis.join(rows, shop).rows["item_title_words"].to_lists()[0][-1] in [
      ...     name.encode() for name in aug.datasets.shop.CATEGORIES]
      True
    """
    features = {*data.items, *data.users} - {data.user_id, data.item_id}
    return Interactions.from_tables(
        {name: column for name, column in rows.items() if name not in features},
        data.items,
        data.users,
        user_id=data.user_id,
        item_id=data.item_id,
        timestamp=data.timestamp,
        name=f"{data.name}, synthesized",
    )
