"""The wing of transfer: how well what a network has learned serves on other data."""
TASKS = ("transfer",)
