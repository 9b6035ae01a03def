"""Numbers in and out: metrics of the operator, reports scraped from trainers, logs."""
