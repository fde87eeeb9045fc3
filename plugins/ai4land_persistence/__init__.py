"""The baseline of every land-cover prediction: nothing changes."""
