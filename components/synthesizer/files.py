"""Names of the files in what the SynthesizerTrainer gives."""

SYNTHESIZER = "synthesizer.npz"
QUALITY = "quality.json"
