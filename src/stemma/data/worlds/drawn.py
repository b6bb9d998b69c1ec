"""Small worlds that are drawn here, for tests and for first trainings: nothing to install but gymnasium,
thousands of steps a second.

`DrawnPendulum` is the task of gymnasium's Pendulum-v1 seen as a picture of its rod, without its speed: what moves must
be remembered. `Dodge` is take-cover in little: fireballs fall, the agent below moves aside, an episode ends when it is
hit. Actions are numbers in -1..1; pictures uint8 [size, size, 1 or 3].
"""
from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

Seen = dict[str, np.ndarray]


class Drawn(gymnasium.Env[Seen, np.ndarray]):
    """A world of one action, or of several, that draws itself: a subclass gives `begin`, `move` and `draw`."""

    actions: ClassVar[tuple[str, ...]]
    limit: ClassVar[int]  # steps of an episode

    def __init__(self, size: int = 16, grey: bool = True) -> None:
        self.size, self.grey = size, grey
        self.observation_space: Any = spaces.Dict({"image": spaces.Box(0, 255,
                                                                       (size, size, 1 if grey else 3), np.uint8)})
        self.action_space = spaces.Box(-1.0, 1.0, (len(self.actions),), np.float32)
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        self._x, self._y = (x + 0.5) / size, (y + 0.5) / size  # 0..1
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        self.begin()
        return {"image": self._picture()}, {}

    def step(self, action: np.ndarray) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        reward, over = self.move(np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        self._steps += 1
        return {"image": self._picture()}, reward, over, self._steps >= self.limit, {}

    def render(self) -> Any:
        return self._picture()

    def begin(self) -> None:
        raise NotImplementedError

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        """One decision: its reward, and whether it ended in failure."""
        raise NotImplementedError

    def draw(self) -> np.ndarray:
        """Brightness [size, size, 3] in 0..1."""
        raise NotImplementedError

    def truth(self) -> dict[str, float]:
        """What the world is in, by name, for who asks what a belief holds of it; {} where it does not tell."""
        return {}

    def _picture(self) -> np.ndarray:
        picture = self.draw()
        if self.grey:
            picture = picture.mean(-1, keepdims=True)
        return (picture.clip(0, 1) * 255).round().astype(np.uint8)

    def _disc(self, x: float, y: float, radius: float) -> np.ndarray:
        """A filled circle, its edge one pixel soft."""
        distance = np.hypot(self._x - x, self._y - y)
        return ((radius - distance) * self.size + 0.5).clip(0, 1)  # type: ignore[no-any-return]


class DrawnPendulum(Drawn):
    """Swing a rod up and hold it. Physics and reward of Pendulum-v1 (g 10, m 1, l 1, dt .05, torque to 2, speed to 8);
    each decision lasts four steps and brings the sum of their rewards;
    50 decisions make the 200 steps of an episode."""

    actions = ("torque",)
    limit = 50
    repeat = 4

    def begin(self) -> None:
        self.angle = float(self.np_random.uniform(-np.pi, np.pi))  # 0 is upright
        self.speed = float(self.np_random.uniform(-1.0, 1.0))

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        torque, total = 2.0 * float(action[0]), 0.0
        for _ in range(self.repeat):
            wrapped = (self.angle + np.pi) % (2 * np.pi) - np.pi
            total -= wrapped**2 + 0.1 * self.speed**2 + 0.001 * torque**2
            self.speed = float(np.clip(self.speed + (15.0 * np.sin(self.angle) + 3.0 * torque) * 0.05, -8.0, 8.0))
            self.angle += self.speed * 0.05
        return total, False

    def truth(self) -> dict[str, float]:
        return {"sine": float(np.sin(self.angle)), "cosine": float(np.cos(self.angle)), "speed": self.speed}

    def draw(self) -> np.ndarray:
        tip_x, tip_y = 0.5 + 0.42 * np.sin(self.angle), 0.5 - 0.42 * np.cos(self.angle)
        dx, dy = tip_x - 0.5, tip_y - 0.5
        along = (((self._x - 0.5) * dx + (self._y - 0.5) * dy) / (dx * dx + dy * dy)).clip(0, 1)
        distance = np.hypot(self._x - 0.5 - along * dx, self._y - 0.5 - along * dy)
        width = 0.055 + 0.03 * along  # thicker at its end
        rod = ((width - distance) * self.size + 0.5).clip(0, 1)
        return rod[..., None] * np.array([1.0, 0.75, 0.35])  # type: ignore[no-any-return]


class Dodge(Drawn):
    """Keep clear of what falls. The agent is at the bottom; an action under -1/3 moves it left, over 1/3 right. A
    fireball starts now and then above, aimed near the agent, and a hit ends the episode. One point a step alive."""

    actions = ("aside",)
    limit = 300
    most = 3  # fireballs at once

    def begin(self) -> None:
        self.x = float(self.np_random.uniform(0.3, 0.7))
        self.balls: list[list[float]] = []  # x, y, speed sideways, speed down

    def move(self, action: np.ndarray) -> tuple[float, bool]:
        side = float(action[0])
        self.x = float(np.clip(self.x + 0.07 * ((side > 1 / 3) - (side < -1 / 3)), 0.06, 0.94))
        for ball in self.balls:
            ball[0] += ball[2]
            ball[1] += ball[3]
        self.balls = [b for b in self.balls if b[1] < 1.05]
        if len(self.balls) < self.most and self.np_random.random() < 0.11:
            start, aim = self.np_random.uniform(0.1, 0.9), self.x + self.np_random.normal(0, 0.08)
            down = self.np_random.uniform(0.05, 0.08)
            self.balls.append([start, 0.06, (aim - start) * down / 0.85, down])
        hit = any(abs(b[0] - self.x) < 0.085 and 0.86 < b[1] < 0.98 for b in self.balls)
        return 1.0, hit

    def draw(self) -> np.ndarray:
        picture = np.zeros((self.size, self.size, 3), np.float32)
        picture[..., 2] = 0.15
        for x, y, *_ in self.balls:
            picture += self._disc(x, y, 0.06)[..., None] * np.array([1.0, 0.5, 0.1])
        body = ((0.06 - abs(self._x - self.x)) * self.size
                + 0.5).clip(0, 1) * ((0.05 - abs(self._y - 0.93)) * self.size + 0.5).clip(0, 1)
        return picture + body[..., None] * np.array([0.3, 1.0, 0.5])  # type: ignore[no-any-return]


__all__ = ["Dodge", "Drawn", "DrawnPendulum"]
