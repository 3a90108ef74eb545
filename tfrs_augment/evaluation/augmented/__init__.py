"""The data side: what augmentation did to rows, before anything trains on them.

`measuring_augmented` measures, `augmented_data` is what it found, `augmentation_warnings` says where that
is too much, by `augmentation_limits`.
"""
