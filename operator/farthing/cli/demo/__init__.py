"""`farthing demo`: the whole of Farthing on two CPU cores. `scenario` tells it in order; every other file is one subject."""
