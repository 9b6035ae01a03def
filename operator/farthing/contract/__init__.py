"""What operator and trainer agree on: the only package that both images import."""
