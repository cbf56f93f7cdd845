"""Studies: questions, each with the runs or the computation that answers it."""
