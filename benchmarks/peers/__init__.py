"""Lethe beside its peers: the same base, trunk, people, records, tokens and LoRA rank for every method.

`corpus` and `setting` say what is learnt, `learner` how a conventional trainer learns it. Each method is one module
that reads like its paper: `lethe`, `sisa`, `s3t`, `replay`, `approximate`; `conventional` is the unsharded training the last two start from.
`methods` lists them, `judge` and `attack` measure, `report` prints. Every person in it is invented.
"""
