"""Networks that emulate γ: two trunks, each with independent or with constrained heads.

`design` says what a network is built from, `trunks` turn tiles into a latent vector, `heads` turn
that into γ, `network` is the surrogate made of both.
"""

from minkgen.learn.emulators.design import EmulatorDesign
from minkgen.learn.emulators.network import EmulatorNetwork

__all__ = ["EmulatorDesign", "EmulatorNetwork"]
