"""What Farthing computes, as frozen dataclasses: snapshot, plan, decision. What users say is in `api`."""
