"""The samplers that recipes may name; `generation/painter/schedulers.py` says what each is in diffusers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """`webui` is what AUTOMATIC1111's WebUI calls it; `stochastic` ones draw fresh noise at every step.

    The others only follow the noise that they start from, and settle on one picture as steps are added.
    """

    webui: str
    stochastic: bool = False


SAMPLERS = {
    "euler": Sampler(webui="Euler"),
    "euler_a": Sampler(webui="Euler a", stochastic=True),
    "heun": Sampler(webui="Heun"),
    "dpm2": Sampler(webui="DPM2"),
    "dpm2_a": Sampler(webui="DPM2 a", stochastic=True),
    "dpmpp_2m": Sampler(webui="DPM++ 2M"),
    "dpmpp_2m_karras": Sampler(webui="DPM++ 2M Karras"),
    "dpmpp_sde": Sampler(webui="DPM++ SDE", stochastic=True),
    "dpmpp_sde_karras": Sampler(webui="DPM++ SDE Karras", stochastic=True),
    "dpmpp_2m_sde": Sampler(webui="DPM++ 2M SDE", stochastic=True),
    "dpmpp_2m_sde_karras": Sampler(webui="DPM++ 2M SDE Karras", stochastic=True),
    "ddim": Sampler(webui="DDIM"),
    "unipc": Sampler(webui="UniPC"),
    "lcm": Sampler(webui="LCM", stochastic=True),
}
SAMPLER_NAMES = tuple(SAMPLERS)
