"""The main loop: observe → plan → decide → reserve → act → record. No I/O library; the world comes in by `ports`."""
