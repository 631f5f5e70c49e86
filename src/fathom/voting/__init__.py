"""More votes on one comparison: repeated, swapped, adaptive, filtered by a meta reward model, by a panel."""
