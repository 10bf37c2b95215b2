"""Images to train and test with, as codes and labels."""
