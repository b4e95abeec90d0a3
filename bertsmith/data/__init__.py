"""The corpus on disk, the cuts that make examples of it, the masks, and the batches a step trains on."""
