"""What, done on the first day, goes with staying: from the log to one hypothesis."""
