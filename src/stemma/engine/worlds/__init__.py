"""The wing of worlds: agents that learn a model of what they live in."""
TASKS = ("world",)
