"""Land-use futures: the LUH2 scenarios of ScenarioMIP in CMIP6 and the LUH3 scenarios in CMIP7 (input4MIPs)."""
