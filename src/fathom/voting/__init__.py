"""Several votes per comparison: repeated, swapped or adaptive sampling, filters by a meta reward model, panels."""
