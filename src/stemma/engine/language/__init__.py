"""The wing of language: models of sentences, and translators of sentences into programs."""
TASKS = ("language",)
# settings of a recipe that its trainings do not read, by what their paths begin with
UNREAD = ("resize", "augment", "difficult", "proposals", "life", "loss_weights", "warmup_steps", "clip_value", "clips",
          "ema", "accumulate", "channels_last", "precision")
