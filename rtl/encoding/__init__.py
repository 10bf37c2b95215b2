"""What a program looks like to the hardware: fields, descriptors, and the image of a whole program."""
