"""The wing of editing: systems that change a picture as a sentence says."""
from dataclasses import fields

from ...core.recipe import Augment

TASKS = ("editing",)
GUESTS = ("semantic",)  # tasks of systems that answer some of the same instructions, each in its own way
# settings of a recipe that its trainings do not read, by what their paths begin with
UNREAD = ("life", "warmup_steps", "clips", "difficult", "proposals", "resize.kind", "resize.longest",
          "resize.divisor", "resize.scales", "resize.hold",
          *(f"augment.{f.name}" for f in fields(Augment) if f.name != "flip"))
