"""The software beside the machine: the driver of its registers, and the assembler of its programs."""
