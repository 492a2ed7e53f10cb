"""Changes the model: base, plan, batches, training, adapters, composition and the erasure plan."""
