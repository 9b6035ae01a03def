"""The scheduler, pure: a protocol, one policy a file, and what they share: feasibility, the outlook on capacity, urgency."""
