"""The device under the figures: what it is, how it fared meanwhile, what it consumed."""
