"""QNR (Alparone et al. 2008), HQNR (Aiazzi et al. 2014) and RQNR (Alparone et al. 2018): one quality from two."""

from __future__ import annotations


def qnr(spectral: float, spatial: float) -> float:
    """The product (1 - spectral) (1 - spatial) of one scene; 1 is ideal.

    It is QNR of D_lambda and D_s, HQNR of D_lambda_K and D_s, RQNR of D_lambda_K and D_sR, each with exponents of 1.
    Per scene: the product of means over scenes differs from the mean of products.
    """
    return float((1 - spectral) * (1 - spatial))
