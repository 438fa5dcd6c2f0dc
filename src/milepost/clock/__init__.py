"""The clock: sends the ticks by which deadlines fire, from one leader of its instances."""
