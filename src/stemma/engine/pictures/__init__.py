"""The wing of pictures: what is where, and of which kind."""
TASKS = ("detection", "instances", "keypoints", "semantic", "panoptic", "amodal", "proposals", "weak")
