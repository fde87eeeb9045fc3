"""Land-use history: LUH2 v2h (Hurtt et al. 2020, https://doi.org/10.5194/gmd-13-5425-2020) and LUH3."""
