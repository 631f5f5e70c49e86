"""What a run wrote: its rows, its record, and tables made of them."""
