"""Augmenter: a policy over the splits of an Examples artifact."""
