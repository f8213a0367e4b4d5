"""Training losses, one term per file.

Their short names (`adaptation.options.LOSS_NAMES`), and where they are: `spec` in `spectral`, `spat` in `spatial`,
`qnr` in `qnr`, `rho` in `correlation`, `d` in `direction`. `ship` (distance to the teacher's image) and `wald` (to the
truth at reduced resolution) are means of absolute differences, `similarity.masked_mean`. The terms of stage I, `inter`,
`intra` and `fusion`, are in `contrastive`.
"""
