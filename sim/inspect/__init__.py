"""One code of a tensor, explained: what it is made of, by which op, and where and when the machine makes it."""
