"""The command line: one module a verb. `farthing VERB` and `kubectl farthing VERB` are the same program."""
