"""A comparison as a `report`: tables, plots, `pages`, `markdown`, JSON, scalars for TensorBoard."""
