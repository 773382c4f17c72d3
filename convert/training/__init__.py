"""Training on labelled images, and distillation on unlabelled frames. Options and readers need no torch."""
