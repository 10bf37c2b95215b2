"""Bugs planted in the hardware, each with a Program that shows it and with what is to be found out about it."""
