"""Training a judge: `sft.train` on rationales, then `rlvr.train` on labels, both from a recipe (`recipe.load`)."""
