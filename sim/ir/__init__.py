"""What a Program is: number formats, tensors, ops, the rules they keep, and the file they are saved in."""
