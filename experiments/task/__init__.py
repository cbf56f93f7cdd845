"""Training tasks: workloads, recipes, optimizers, configurations, presets."""
