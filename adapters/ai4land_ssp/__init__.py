"""Land-use futures: the LUH2 scenarios of ScenarioMIP (input4MIPs)."""
