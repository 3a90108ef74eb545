"""Tests of the TFX components; `make test-tfx` runs those that need TFX, and others skip them."""
