"""Work on many processes and machines: jobs by their descriptions, results in a file, nothing lost or done twice."""
