"""What a machine's hardware has of everything: widths, entries of its tables, memories."""
