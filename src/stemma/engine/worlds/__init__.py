"""The wing of worlds: agents that learn a model of what they live in."""
from ...core.recipe import Life, Recipe

TASKS = ("world",)
# settings of a recipe that its trainings do not read, by what their paths begin with
UNREAD = ("schedule", "milestones", "gamma", "power", "warmup", "warmup_factor", "ema", "accumulate", "precision",
          "channels_last", "resize", "augment", "difficult", "proposals", "phases", "loss_weights")
OF_A_STAGE = {  # what is read of a stage besides its name, what it does and how long
    "collect": ("policy", "noise"),
    "fit": ("train", "losses", "batch", "sequence", "lr", "end_lr", "clip_value", "stored", "recent", "endings",
            "ratio", "newest"),
    "evolve": ("strategy", "population", "rollouts", "sigma", "horizon", "temperature", "dream", "sampled", "penalty",
               "elect"),
}


def idle(recipe: Recipe) -> tuple[str, ...]:
    """Settings of stages of a life that these do not read, by what they do."""
    life = recipe.life or Life()
    return tuple(f"life.{when}.{i}.{name}" for when, stages in (("first", life.first), ("then", life.then))
                 for i, s in enumerate(stages) for do, names in OF_A_STAGE.items() if do != s.do for name in names)
