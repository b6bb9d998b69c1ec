"""The wing of pictures: what is where, and of which kind."""
TASKS = ("detection", "instances", "keypoints", "semantic", "panoptic", "amodal", "proposals", "weak")
# settings of a recipe that its trainings do not read, by what their paths begin with
UNREAD = ("life", "warmup_steps", "clips")
