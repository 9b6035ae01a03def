"""The ledger, pure: what may be spent, what is held, what was spent, and the ends that keep it so (DESIGN 4)."""
