def start_node(*a): raise SystemExit
