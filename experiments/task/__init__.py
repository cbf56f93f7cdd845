"""What is trained and how: workloads, recipes, optimizers, configurations, presets."""
