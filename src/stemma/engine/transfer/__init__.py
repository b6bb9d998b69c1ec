"""The wing of transfer: how well what a network has learned serves on other data."""
from dataclasses import fields

from ...core.recipe import Augment

TASKS = ("transfer",)
# settings of a recipe that its trainings do not read, by what their paths begin with
UNREAD = ("lr", "other_lr", "weight_decay", "milestones", "gamma", "power", "warmup", "warmup_factor", "warmup_steps",
          "clip", "clip_value", "clips", "agc", "eps", "ema", "accumulate", "precision", "channels_last", "resize",
          "difficult", "proposals", "phases", "loss_weights", "life",
          *(f"augment.{f.name}" for f in fields(Augment) if f.name != "flip"))
