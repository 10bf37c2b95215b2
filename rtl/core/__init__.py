"""The accelerator itself."""
