"""What to make of one input, phase by phase: pure, and reached through the table of `state_machine` only."""
