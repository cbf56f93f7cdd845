"""AutoDrop's cost and its errors on one large GPU, within minutes."""
