"""SynthesizerTrainer: a synthesizer fitted on the rows of a split, and how good it is."""
