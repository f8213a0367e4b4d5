"""QNR (Alparone et al. 2008), HQNR (Aiazzi et al. 2014) and RQNR (Alparone et al. 2018): one quality from two."""

from __future__ import annotations


def qnr(d_lambda: float, d_s: float, alpha: float = 1.0, beta: float = 1.0) -> float:
    """(1 - D_lambda)^alpha (1 - D_s)^beta; 1 is ideal.

    Per scene: the product of means over scenes differs from the mean of products.
    """
    return float((1 - d_lambda) ** alpha * (1 - d_s) ** beta)


def hqnr(d_lambda_k: float, d_s: float, alpha: float = 1.0, beta: float = 1.0) -> float:
    """(1 - D_lambda_K)^alpha (1 - D_s)^beta, with the D_s of QNR; 1 is ideal."""
    return float((1 - d_lambda_k) ** alpha * (1 - d_s) ** beta)


def rqnr(d_lambda_k: float, d_sr: float, alpha: float = 1.0, beta: float = 1.0) -> float:
    """(1 - D_lambda_K)^alpha (1 - D_sR)^beta; 1 is ideal."""
    return float((1 - d_lambda_k) ** alpha * (1 - d_sr) ** beta)
