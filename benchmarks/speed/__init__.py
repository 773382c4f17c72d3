"""How fast: contenders in processes of their own, measured in turn on real frames."""
