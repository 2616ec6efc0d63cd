"""A chest that nobody has: slices in Hounsfield units that look, scroll and compress about as those of a real CT.

Pure and vectorised: numbers in, one array out. Coordinates run from -1 to 1 across the slice: x to the patient's left, y to
the back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["lung", "soft"]
Floats = NDArray[np.float32]

AIR, LUNG, FAT, MUSCLE, BLOOD, BONE, VESSEL = -1000.0, -860.0, -95.0, 45.0, 140.0, 420.0, 25.0
_OUTSIDE = -1024.0
# Standard deviation in Hounsfield units. The sharp kernel is the noisier one, as on a real scanner.
_NOISE = {"lung": 62.0, "soft": 46.0}
_VESSELS = 64
_PATCHES = 7


@dataclass(frozen=True, slots=True)
class _Vessel:
    """A tube in a lung: where it is at the middle slice, how it wanders, how thick it is."""

    x: float
    y: float
    reach: float
    turns: float
    phase: float
    radius: float


class ChestPhantom:
    """One invented patient: `seed` decides the body, `side` the matrix (side x side pixels)."""

    def __init__(self, side: int, seed: int) -> None:
        axis = np.linspace(-1, 1, side, dtype=np.float32)
        self._side = side
        self._x: Floats = np.broadcast_to(axis, (side, side))
        self._y: Floats = np.broadcast_to(axis[:, None], (side, side))
        self._angle: Floats = np.arctan2(self._y * 1.35, np.abs(self._x))
        self._outside = self._x**2 + self._y**2 > 1
        rng = np.random.default_rng([seed, 1])
        self._width = float(rng.uniform(0.9, 0.94))
        self._depth = float(rng.uniform(0.68, 0.73))
        self._vessels = [_random_vessel(rng) for _ in range(_VESSELS)]
        self._patches = rng.uniform((-0.6, -0.3, 0.1, 0.08), (0.6, 0.4, 0.9, 0.2), (_PATCHES, 4))

    def slice(self, position: float, kernel: Kernel, rng: np.random.Generator) -> NDArray[np.int16]:
        """The slice at `position`, 0 at the top of the lungs and 1 at the bottom, in Hounsfield units, noise included."""
        hu = self._anatomy(position)
        grain = rng.standard_normal((self._side, self._side), dtype=np.float32)
        if kernel == "soft":  # a smoothing kernel: neighbours share their noise
            grain = (grain + np.roll(grain, 1, axis=0)) * np.float32(0.7071)
        hu += grain * np.float32(_NOISE[kernel])
        hu[self._outside] = _OUTSIDE
        return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)

    def _anatomy(self, position: float) -> Floats:
        hu = np.full((self._side, self._side), AIR, dtype=np.float32)
        breadth = self._width * (0.86 + 0.14 * float(np.sin(np.pi * min(1.0, position + 0.25))))
        hu[self._ellipse(0, 0, breadth, self._depth)] = FAT
        hu[self._ellipse(0, 0, breadth * 0.93, self._depth * 0.9)] = MUSCLE
        self._ribs(hu, breadth, position)
        fullness = float(np.sin(np.pi * (0.12 + 0.76 * position)) ** 0.5)
        lungs = np.zeros(hu.shape, dtype=bool)
        for sign in (-1, 1):
            lungs |= self._ellipse(sign * 0.43, 0.01, 0.35 * fullness, 0.53 * fullness)
        hu[lungs] = LUNG
        self._ground_glass(hu, lungs, position)
        self._paint_vessels(hu, position)
        heart = max(0.0, 1 - ((position - 0.72) / 0.3) ** 2) ** 0.5
        if heart > 0:
            hu[self._ellipse(0.12, -0.1, 0.36 * heart, 0.3 * heart)] = MUSCLE + 20
        self._middle(hu, position)
        hu[np.abs(self._y - 0.8 - 0.1 * self._x**2) < 0.012] = -200.0  # the table
        return hu

    def _middle(self, hu: Floats, position: float) -> None:
        """Great vessels, airway, spine, breastbone."""
        hu[self._ellipse(0.0, -0.12, 0.12, 0.24)] = MUSCLE
        sway = 0.05 * float(np.sin(4 * position))
        hu[self._ellipse(0.1 + sway, 0.22, 0.055, 0.055)] = BLOOD
        hu[self._ellipse(-0.05 + sway, -0.16, 0.06, 0.06)] = BLOOD
        fork = max(0.0, position - 0.38) * 0.5
        for sign in (-1, 1) if position < 0.7 else ():
            hu[self._ellipse(sign * fork, 0.03 + fork * 0.2, 0.045, 0.045)] = AIR
        hu[self._ellipse(0, 0.4, 0.11, 0.1)] = BONE - 170 + 60 * float(np.sin(90 * position))
        hu[self._ellipse(0, 0.5, 0.045, 0.04)] = MUSCLE - 20
        hu[self._ellipse(0, -0.9 * self._depth + 0.05, 0.09, 0.03)] = BONE - 200

    def _ribs(self, hu: Floats, breadth: float, position: float) -> None:
        """A bony ring, cut into ribs that run down to the front, so that they move along it from slice to slice."""
        wall = self._ellipse(0, 0, breadth * 0.86, self._depth * 0.83) & ~self._ellipse(0, 0, breadth * 0.8, self._depth * 0.76)
        hu[wall & (np.sin(5.5 * self._angle + 75 * np.float32(position)) > 0.45)] = BONE

    def _ground_glass(self, hu: Floats, lungs: NDArray[np.bool_], position: float) -> None:
        """Patches of denser lung, the finding that a reader of this exam scrolls for."""
        for x, y, z, size in self._patches:
            distance = (self._x - np.float32(x)) ** 2 + (self._y - np.float32(y)) ** 2 + np.float32((position - z) ** 2 * 4)
            np.add(hu, 420 * np.exp(-distance / np.float32(size**2)), out=hu, where=lungs)

    def _paint_vessels(self, hu: Floats, position: float) -> None:
        """Each vessel is a disc in this slice; only the square around it is touched, and only lung gives way to it."""
        half = self._side / 2
        for vessel in self._vessels:
            swing = vessel.turns * position * 6.28 + vessel.phase
            x, y = vessel.x + vessel.reach * np.cos(swing), vessel.y + vessel.reach * np.sin(swing)
            radius = vessel.radius * (0.6 + 0.4 * np.sin(3 * swing))
            rows = slice(max(0, int((y - radius + 1) * half)), int((y + radius + 1) * half) + 2)
            columns = slice(max(0, int((x - radius + 1) * half)), int((x + radius + 1) * half) + 2)
            disc = (self._x[rows, columns] - x) ** 2 + (self._y[rows, columns] - y) ** 2 < radius**2
            part = hu[rows, columns]
            part[disc & (part < -300)] = VESSEL

    def _ellipse(self, x: float, y: float, width: float, height: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (
            ((self._x - np.float32(x)) / np.float32(width)) ** 2 + ((self._y - np.float32(y)) / np.float32(height)) ** 2
        ) < 1
        return inside


def _random_vessel(rng: np.random.Generator) -> _Vessel:
    side = 1 if rng.random() < 0.5 else -1
    return _Vessel(
        x=side * float(rng.uniform(0.2, 0.62)),
        y=float(rng.uniform(-0.34, 0.36)),
        reach=float(rng.uniform(0.02, 0.12)),
        turns=float(rng.uniform(0.5, 3)),
        phase=float(rng.uniform(0, 6.28)),
        radius=float(rng.uniform(0.006, 0.028)),
    )
