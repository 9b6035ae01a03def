"""Farthing's trainer: the supervisor of a pod, the prepare stage and the training loop.

A reader's path: `supervisor` (PID 1) → `__main__` → `prepare` or `run` → `loop`.
"""
