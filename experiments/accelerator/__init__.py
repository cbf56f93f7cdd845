"""What AutoDrop costs and gives on a large GPU, within minutes."""
